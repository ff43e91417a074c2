import { monotonicMs, type Payload } from './payload.ts';

/** What a worker process has started so far; times in `monotonicMs`. */
export interface Progress {
  readonly handled: number;
  readonly firstAt: number | null;
  readonly lastAt: number | null;
}

export interface Tally {
  /** A handler begins with these. */
  begin(payloads: readonly Payload[]): void;
  progress(): Progress;
  /** Milliseconds from asked for to begun, of the payloads that say when. */
  latencies(): number[];
  clear(): void;
}

export function createTally(): Tally {
  let handled = 0;
  let firstAt: number | null = null;
  let lastAt: number | null = null;
  let latencies: number[] = [];
  return {
    begin(payloads) {
      const now = monotonicMs();
      firstAt ??= now;
      lastAt = now;
      handled += payloads.length;
      for (const { at } of payloads) if (at !== undefined) latencies.push(now - at);
    },
    progress: () => ({ handled, firstAt, lastAt }),
    latencies: () => latencies,
    clear() {
      handled = 0;
      firstAt = null;
      lastAt = null;
      latencies = [];
    },
  };
}
