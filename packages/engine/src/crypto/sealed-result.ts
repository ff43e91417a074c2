import { DecryptionError, type FieldCrypto, type FieldRef } from '@nightshift/db/crypto';
import { NoKeyError } from '../errors.ts';
import { isSealed, MASK, SEALED } from './sealed-input.ts';

interface RunRef {
  readonly id: string;
  readonly tenantId: string;
}

/** Bound to the run, and apart from its input: neither opens in the place of the other. */
function refOf(run: RunRef): FieldRef {
  return { tenantId: run.tenantId, place: 'run.result', row: run.id };
}

/** These ends with their results as one envelope each; those without a result as they are. Errors: `NoKeyError`, those of the store. */
export async function sealResults<End extends { readonly id: string; readonly result: unknown }>(
  crypto: FieldCrypto,
  tenantId: string,
  ends: readonly End[],
): Promise<End[]> {
  const given = ends.filter(({ result }) => result !== null && result !== undefined);
  const envelopes = await crypto.encryptAll(
    given.map(({ id, result }) => ({ ref: refOf({ id, tenantId }), plain: JSON.stringify(result) })),
  );
  const sealed = new Map(given.map(({ id }, i) => [id, { [SEALED]: envelopes[i] }]));
  return ends.map((end) => ({ ...end, result: sealed.get(end.id) ?? end.result }));
}

/** A stored result as anybody may see it: a personal one says `<personal>`. */
export function maskedResult(stored: unknown): unknown {
  return isSealed(stored) ? MASK : stored;
}

/** A stored result as its job gave it; masked where the key is gone or this process holds none. Errors: those of the store. */
export async function openResult(crypto: FieldCrypto, run: RunRef, stored: unknown): Promise<unknown> {
  if (!isSealed(stored)) return stored;
  try {
    return JSON.parse(await crypto.decrypt(refOf(run), String(stored[SEALED])));
  } catch (error) {
    if (error instanceof DecryptionError || error instanceof NoKeyError) return MASK;
    throw error;
  }
}
