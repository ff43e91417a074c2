import type { Producer } from '@nightshift/engine/accept';
import type { Command } from 'commander';
import type { Environment } from './home.ts';

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a command may touch: a test gives its own. */
export interface Terminal {
  readonly env: Environment;
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WriteStream;
  readonly signal: AbortSignal;
}

/** Handed to every command. */
export interface Cli extends Terminal {
  /** Principal in the audit log. */
  readonly actor: string;
  /** Prints `value` as JSON where `--json` was given, else what `text` makes of it. */
  print<T>(options: { json?: boolean }, value: T, text: (value: T) => string): void;
  /** A line on stderr. */
  tell(line: string): void;
  withProducer<T>(work: (producer: Producer) => Promise<T>, options?: { copies: boolean }): Promise<T>;
  /** Registers a command's work: its result is the exit code, an error is one sentence on stderr. */
  run(command: Command, work: Work): Command;
}
// biome-ignore lint/suspicious/noExplicitAny: commander hands over arguments by position, each command knows its own.
export type Work = (...args: any[]) => Promise<ExitCode>;
