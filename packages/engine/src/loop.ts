import type { Logger } from 'pino';

/** Wait after a round that failed, ms. */
const AFTER_ERROR_MS = 1_000;

export interface Loop {
  /** Ends the sleep: the next round begins now, or right after the one under way. */
  wake(): void;
  /** Resolves once no round is under way; none begins after. */
  stop(): Promise<void>;
}

/**
 * Runs `round` for ever, sleeping as many ms as it returns. A round that throws is logged (once for each new message) and the loop goes on:
 * whatever was away comes back without a restart.
 */
export function createLoop(name: string, log: Logger, round: () => Promise<number>): Loop {
  let stopped = false;
  let woken = false;
  let endSleep: (() => void) | null = null;
  let lastError = '';

  async function run(): Promise<void> {
    while (!stopped) {
      woken = false;
      let sleepMs = AFTER_ERROR_MS;
      try {
        sleepMs = await round();
        lastError = '';
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (message !== lastError)
          log.error({ loop: name, err: { message } }, `the ${name} loop failed; it tries again`);
        lastError = message;
      }
      if (stopped || woken) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, sleepMs);
        endSleep = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      endSleep = null;
    }
  }

  const running = run();
  return {
    wake() {
      woken = true;
      endSleep?.();
    },
    async stop() {
      stopped = true;
      endSleep?.();
      await running;
    },
  };
}
