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

/** What of an `AbortSignal` waiting needs. */
export interface Abort {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** One attempt's abort: by whoever is first. */
export interface Stopper {
  /** Made when asked for: a signal costs more than the rest of a short run's hand. */
  readonly signal: AbortSignal;
  /** Aborts at the timeout alone, whatever the run was asked before: nobody waits for its handler any longer. */
  readonly deadline: Abort;
  stop(reason: StopReason): void;
  /** Null while nobody asked. */
  readonly reason: StopReason | null;
  dispose(): void;
}

/** Stops by itself after `timeoutMs` and when the worker shuts down. */
export const createStopper = (timeoutMs: number, shutdown: AbortSignal): Stopper => new OneStopper(timeoutMs, shutdown);

/** A class for its getters: an object literal with one is a dictionary to V8, and slow. */
class OneStopper implements Stopper {
  readonly deadline = new Deadline();
  readonly #shutdown: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #onShutdown = () => this.stop('shutdown');
  #controller: AbortController | null = null;
  #reason: StopReason | null = null;

  constructor(timeoutMs: number, shutdown: AbortSignal) {
    this.#shutdown = shutdown;
    this.#timer = setTimeout(() => {
      this.stop('timeout');
      this.deadline.abort(new StopSignal('timeout'));
    }, timeoutMs);
    if (shutdown.aborted) this.#onShutdown();
    shutdown.addEventListener('abort', this.#onShutdown);
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(new StopSignal(this.#reason));
    }
    return this.#controller.signal;
  }

  get reason(): StopReason | null {
    return this.#reason;
  }

  stop(reason: StopReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#controller?.abort(new StopSignal(reason));
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#shutdown.removeEventListener('abort', this.#onShutdown);
  }
}

class Deadline implements Abort {
  readonly #listeners = new Set<() => void>();
  #reason: StopSignal | undefined;

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  get reason(): StopSignal | undefined {
    return this.#reason;
  }

  /** Once. */
  abort(reason: StopSignal): void {
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }
}

/** Resolves or rejects with `work`, or rejects when the signal aborts, whichever is first. */
export async function orAborted<T>(work: Promise<T>, signal: Abort): Promise<T> {
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
