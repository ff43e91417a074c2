import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AnswerOfApplication, CallName, CallOfApplication } from '../zakat-app/main.ts';

/** The application of `zakat-app/main.ts`, as a process of its own. */
export interface Application {
  readonly url: string;
  /** Errors: with the message of what was thrown there. */
  call(name: CallName, ...args: readonly unknown[]): Promise<unknown>;
  /** What it has logged so far. */
  log(): string;
  /** Sends the signal; resolves to the exit's code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | string | null>;
}

/** Resolves when its server listens and its jobs are started. Errors: with the end of its log, when it ends before. */
export async function startApplication(env: NodeJS.ProcessEnv): Promise<Application> {
  const entry = fileURLToPath(new URL('../../dist/zakat-app/main.js', import.meta.url));
  const child = spawn(process.execPath, [entry], { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part: Buffer) => (log += part.toString()));
  const exited = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  const waiting = new Map<number, (answer: AnswerOfApplication) => void>();
  const url = await new Promise<string>((resolve, reject) => {
    child.on('message', (message: AnswerOfApplication | { readonly ready: string }) => {
      if ('ready' in message) resolve(message.ready);
      else waiting.get(message.id)?.(message);
    });
    void exited.then((how) =>
      reject(new Error(`the application ended before it was ready (${how}): ${log.slice(-500)}`)),
    );
  });
  let calls = 0;
  return {
    url,
    async call(name, ...args) {
      const call: CallOfApplication = { id: ++calls, name, args };
      const answer = await new Promise<AnswerOfApplication>((resolve, reject) => {
        waiting.set(call.id, resolve);
        void exited.then((how) => reject(new Error(`the application ended (${how}) during ${name}`)));
        child.send(call);
      });
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.result;
    },
    log: () => log,
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}
