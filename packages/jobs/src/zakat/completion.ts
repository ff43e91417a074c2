/** Whole minor units in decimal digits: 18 of them, so that sums of any year fit a bigint column of whoever exports them. */
const AMOUNT = /^\d{1,18}$/;

/** What a decrypted amount says is no amount. The message never quotes it. */
export class BrokenAmountError extends Error {
  override readonly name = 'BrokenAmountError';
  readonly code = 'broken-amount';
}

export interface Completion {
  readonly paid: bigint;
  /** With two decimals, rounded down, so that 100 is everything; above 100 when overpaid; null when nothing is due. */
  readonly percent: string | null;
}

/** Minor units. Errors: `BrokenAmountError` naming `what`. */
export function parseAmount(text: string, what: string): bigint {
  if (!AMOUNT.test(text)) {
    throw new BrokenAmountError(
      `${what} is no amount: expected whole minor units, 1 to 18 digits; correct it and save it again`,
    );
  }
  return BigInt(text);
}

/** How much of what is due has been paid. Minor units of one currency. */
export function completion(due: bigint, payments: readonly bigint[]): Completion {
  const paid = payments.reduce((sum, amount) => sum + amount, 0n);
  if (due === 0n) return { paid, percent: null };
  const hundredths = (paid * 10_000n) / due;
  return { paid, percent: `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, '0')}` };
}
