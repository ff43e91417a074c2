/** Why a run in hand is to stop. The `reason` of an abort is one of these, so that a handler's throw is told apart from the cause. */
export type StopReason = 'shutdown' | 'cancelled' | 'timeout' | 'lost';

export class StopSignal extends Error {
  override readonly name = 'AbortError';
  readonly reason: StopReason;
  constructor(reason: StopReason) {
    super(`the run is to stop: ${reason}`);
    this.reason = reason;
  }
}

/** One attempt's abort: by whoever is first. */
export interface Stopper {
  readonly signal: AbortSignal;
  /** Aborts at the timeout alone, whatever the run was asked before: nobody waits for its handler any longer. */
  readonly deadline: AbortSignal;
  stop(reason: StopReason): void;
  /** Null while nobody asked. */
  readonly reason: StopReason | null;
  dispose(): void;
}

/** Stops by itself after `timeoutMs` and when the worker shuts down. */
export function createStopper(timeoutMs: number, shutdown: AbortSignal): Stopper {
  const controller = new AbortController();
  let reason: StopReason | null = null;
  const stop = (why: StopReason) => {
    if (reason !== null) return;
    reason = why;
    controller.abort(new StopSignal(why));
  };
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    stop('timeout');
    deadline.abort(new StopSignal('timeout'));
  }, timeoutMs);
  const onShutdown = () => stop('shutdown');
  if (shutdown.aborted) onShutdown();
  shutdown.addEventListener('abort', onShutdown);
  return {
    signal: controller.signal,
    deadline: deadline.signal,
    stop,
    get reason() {
      return reason;
    },
    dispose() {
      clearTimeout(timer);
      shutdown.removeEventListener('abort', onShutdown);
    },
  };
}

/** Resolves or rejects with `work`, or rejects when the signal aborts, whichever is first. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Whoever loses may reject later, with nobody left to tell: unhandled, that would end the process.
  work.catch(() => undefined);
  if (signal.aborted) throw signal.reason;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
