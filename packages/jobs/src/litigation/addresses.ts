import { DecryptionError } from '@nightshift/db/crypto';
import type { RequestContext } from '@nightshift/engine';

type Reader = Pick<RequestContext, 'client' | 'crypto'>;

const COLUMN = { email: 'email', whatsapp: 'phone' } as const;

/**
 * Addresses of users on a channel, by user id; those without one are left out.
 * Errors: `DecryptionError`, naming the user's row.
 */
export async function addressesOf(
  ctx: Reader,
  tenantId: string,
  channel: 'email' | 'whatsapp',
  userIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (userIds.length === 0) return new Map();
  const column = COLUMN[channel];
  const { rows } = await ctx.client.query<{ id: string; envelope: string }>(
    `SELECT id, ${column}_enc AS envelope FROM litigation.users WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND ${column}_enc IS NOT NULL`,
    [tenantId, [...new Set(userIds)]],
  );
  const place = `litigation.users.${column}_enc`;
  const plain = await ctx.crypto.decryptAll(
    rows.map(({ id, envelope }) => ({ ref: { tenantId, place, row: id }, envelope })),
  );
  return new Map(rows.map(({ id }, i) => [id, plain[i] ?? '']));
}

/** The same, with those that cannot be decrypted told apart: the error of each, by user id. */
export async function readableAddressesOf(
  ctx: Reader,
  tenantId: string,
  channel: 'email' | 'whatsapp',
  userIds: readonly string[],
): Promise<{ readonly found: ReadonlyMap<string, string>; readonly broken: ReadonlyMap<string, string> }> {
  try {
    return { found: await addressesOf(ctx, tenantId, channel, userIds), broken: new Map() };
  } catch (error) {
    if (!(error instanceof DecryptionError)) throw error;
    if (userIds.length <= 1) return { found: new Map(), broken: new Map(userIds.map((id) => [id, error.message])) };
  }
  const all = await Promise.all([...new Set(userIds)].map((id) => readableAddressesOf(ctx, tenantId, channel, [id])));
  return {
    found: new Map(all.flatMap((one) => [...one.found])),
    broken: new Map(all.flatMap((one) => [...one.broken])),
  };
}
