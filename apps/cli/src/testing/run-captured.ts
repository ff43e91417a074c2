import { PassThrough } from 'node:stream';
import { runCli } from '../cli.ts';
import type { ExitCode } from '../cli-context.ts';
import type { Environment } from '../home.ts';

export interface Captured {
  readonly exitCode: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
  /** Stdout as JSON. */
  json<T>(): T;
}

/** Runs one command line in this process, as a shell would, and keeps what it prints. */
export async function runCaptured(argv: readonly string[], env: Environment, stdin = ''): Promise<Captured> {
  const input = new PassThrough();
  input.end(stdin);
  const output = collect();
  const errors = collect();
  const exitCode = await runCli(argv, {
    env,
    stdin: input,
    stdout: output.stream,
    stderr: errors.stream as unknown as NodeJS.WriteStream,
    signal: new AbortController().signal,
  });
  const stdout = output.text();
  return { exitCode, stdout, stderr: errors.text(), json: () => JSON.parse(stdout) };
}

function collect() {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}
