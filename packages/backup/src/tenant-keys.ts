import type pg from 'pg';
import { z } from 'zod';
import { BackupSettingsError } from './errors.ts';

const keyRow = z.strictObject({
  id: z.string(),
  tenant_id: z.uuid(),
  state: z.string(),
  master_key_id: z.string(),
  wrapped: z.string(),
  created_at: z.string(),
  retired_at: z.string().nullable(),
  rewrapped_at: z.string().nullable(),
});

/** Tenants' data keys, each wrapped by a master key: what opens the encrypted columns of a backup, kept apart from it. */
export type SavedTenantKey = z.output<typeof keyRow>;

const fileSchema = z.strictObject({ nightshift: z.literal('tenant-keys'), keys: z.array(keyRow) });

const COLUMNS = 'id, tenant_id, state, master_key_id, wrapped, created_at, retired_at, rewrapped_at';

/** All of them, as ns_ops. */
export async function readTenantKeys(ops: Pick<pg.Pool, 'query'>): Promise<SavedTenantKey[]> {
  const { rows } = await ops.query<{ keys: SavedTenantKey[] | null }>(
    `SELECT json_agg(k ORDER BY k.created_at, k.id) AS keys FROM (SELECT ${COLUMNS} FROM ops.tenant_keys) AS k`,
  );
  return rows[0]?.keys ?? [];
}

export function tenantKeysText(keys: readonly SavedTenantKey[]): string {
  return `${JSON.stringify({ nightshift: 'tenant-keys', keys }, null, 1)}\n`;
}

/** Errors: `BackupSettingsError` for a file that is not one of `tenantKeysText`. */
export function parseTenantKeys(text: string, file: string): SavedTenantKey[] {
  try {
    return fileSchema.parse(JSON.parse(text)).keys;
  } catch {
    throw new BackupSettingsError(`'${file}' holds no tenants' keys: nightshift backup keys <file> makes one.`);
  }
}

/** Puts the keys of these tenants into a restored database, in the transaction of the restore, as the owner. Resolves to how many. */
export async function writeTenantKeys(
  client: Pick<pg.Client, 'query'>,
  keys: readonly SavedTenantKey[],
  tenantId: string | null,
): Promise<number> {
  const wanted = keys.filter((key) => tenantId === null || key.tenant_id === tenantId);
  await client.query('ALTER TABLE ops.tenant_keys NO FORCE ROW LEVEL SECURITY');
  const { rowCount } = await client.query(
    `INSERT INTO ops.tenant_keys (${COLUMNS}) SELECT ${COLUMNS} FROM json_populate_recordset(NULL::ops.tenant_keys, $1)`,
    [JSON.stringify(wanted)],
  );
  await client.query('ALTER TABLE ops.tenant_keys FORCE ROW LEVEL SECURITY');
  return rowCount ?? 0;
}
