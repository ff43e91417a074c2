/**
 * A value that is read at most every `forMs`, ms, and never served older. Whoever asks past half of that has it read again meanwhile: a busy process
 * waits for the first reading alone. Errors: those of `read`, for who had to wait for it; the next who asks has it read again.
 */
export function remember<T>(read: () => Promise<T>, forMs: number): () => Promise<T> {
  let known: { readonly value: T; readonly at: number } | null = null;
  let reading: Promise<T> | null = null;

  async function readNow(): Promise<T> {
    // As old as the question: the answer may have been long on its way.
    const at = performance.now();
    const value = await read();
    known = { value, at };
    return value;
  }

  /** Whoever asks while somebody reads waits for the same answer. */
  function readOnce(): Promise<T> {
    reading ??= readNow().finally(() => {
      reading = null;
    });
    return reading;
  }

  return async () => {
    const age = known === null ? Number.POSITIVE_INFINITY : performance.now() - known.at;
    if (known === null || age > forMs) return readOnce();
    if (age > forMs / 2) readOnce().catch(() => undefined);
    return known.value;
  };
}
