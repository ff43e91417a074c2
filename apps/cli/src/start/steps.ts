import pc from 'picocolors';
import { seconds } from '../terminal.ts';

const NAME_WIDTH = 14;
const TEXT_WIDTH = 54;

/** What `npm start` says while it works: one aligned line per step, with its seconds. */
export interface Steps {
  /** Runs a step and prints its line when it is done; `work` returns the line's text. */
  run(name: string, work: () => Promise<string>): Promise<void>;
  line(name: string, text: string): void;
  /** Something a person should know, now. */
  note(text: string): void;
  text(text: string): void;
}

export function createSteps(out: NodeJS.WriteStream): Steps {
  const write = (line: string) => void out.write(`${line.trimEnd()}\n`);
  return {
    async run(name, work) {
      const startedAt = performance.now();
      if (out.isTTY) out.write(`  ${pc.dim(`${name} …`)}`);
      try {
        const text = await work();
        if (out.isTTY) out.write('\r\x1b[2K');
        const time = seconds(performance.now() - startedAt).padStart(8);
        write(`  ${name.padEnd(NAME_WIDTH)} ${text.padEnd(TEXT_WIDTH)}${pc.dim(time)}`);
      } catch (error) {
        if (out.isTTY) out.write('\r\x1b[2K');
        throw error;
      }
    },
    line: (name, text) => write(`  ${name.padEnd(NAME_WIDTH)} ${text}`),
    note(text) {
      if (out.isTTY) out.write('\r\x1b[2K');
      write(`  ${pc.yellow('note'.padEnd(NAME_WIDTH))} ${text}`);
    },
    text: (text) => void out.write(`${text}\n`),
  };
}
