import type { Pool, PoolClient } from '../connect.ts';
import { inTransaction } from '../tenant.ts';
import { rewrapped, type WrappedKey } from './data-key.ts';
import type { Keyring } from './keyring.ts';

/** Keys re-wrapped in one transaction. */
const PAGE = 500;

/** A tenant's data keys, as people see them: never the key. */
export interface TenantKeyView {
  readonly id: string;
  readonly tenantId: string;
  /** Slug; null when the tenant is gone. */
  readonly tenant: string | null;
  readonly system: string | null;
  readonly state: 'active' | 'retired';
  readonly masterKeyId: string;
  readonly createdAt: Date;
  readonly retiredAt: Date | null;
  readonly rewrappedAt: Date | null;
}

/** By system, tenant and age; of one tenant, or of all. `ops` acts as ns_ops. */
export async function listTenantKeys(ops: Pick<Pool, 'query'>, tenantId: string | null): Promise<TenantKeyView[]> {
  const { rows } = await ops.query<TenantKeyView>(
    `SELECT k.id, k.tenant_id AS "tenantId", t.slug AS tenant, t.system, k.state, k.master_key_id AS "masterKeyId", k.created_at AS "createdAt",
       k.retired_at AS "retiredAt", k.rewrapped_at AS "rewrappedAt"
     FROM ops.tenant_keys k LEFT JOIN ops.tenants t ON t.id = k.tenant_id
     WHERE $1::uuid IS NULL OR k.tenant_id = $1 ORDER BY t.system, t.slug, k.tenant_id, k.created_at`,
    [tenantId],
  );
  return rows;
}

/**
 * Wraps every data key that another master key wraps anew under the active one; fields stay as they are, and readers go on. Every process
 * must know the active key by then. Resolves to the number of keys re-wrapped. Errors: `UnknownMasterKeyError`, `WrappedKeyError`; the
 * keys done until then stay done.
 */
export async function rewrapTenantKeys(deps: { ops: Pool; keyring: Keyring }, actor: string): Promise<number> {
  let done = 0;
  for (let more = true; more; ) {
    const page = await inTransaction(deps.ops, [], (client) => rewrapPage(client, deps.keyring));
    done += page;
    more = page > 0;
  }
  await appendKeyAudit(deps.ops, null, actor, 'tenant-keys.rewrapped', {
    masterKey: deps.keyring.active.id,
    keys: done,
  });
  return done;
}

async function rewrapPage(client: PoolClient, keyring: Keyring): Promise<number> {
  const { rows } = await client.query<WrappedKey>(
    `SELECT id, tenant_id AS "tenantId", master_key_id AS "masterKeyId", wrapped FROM ops.tenant_keys
     WHERE master_key_id <> $1 ORDER BY id LIMIT ${PAGE} FOR UPDATE`,
    [keyring.active.id],
  );
  const keys = rows.map((row) => rewrapped(row, keyring));
  await client.query(
    `UPDATE ops.tenant_keys k SET wrapped = g.wrapped, master_key_id = $1, rewrapped_at = clock_timestamp()
     FROM unnest($2::text[], $3::text[]) AS g(id, wrapped) WHERE k.id = g.id`,
    [keyring.active.id, keys.map((key) => key.id), keys.map((key) => key.wrapped)],
  );
  return keys.length;
}

/**
 * Data keys that encrypt now only decrypt from now on; the tenant's next write makes a new one, within a minute in processes that
 * remember the old one. Of one tenant, or of all. Resolves to the number of keys retired.
 */
export async function retireTenantKeys(ops: Pool, tenantId: string | null, actor: string): Promise<number> {
  return inTransaction(ops, [], async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `UPDATE ops.tenant_keys SET state = 'retired', retired_at = clock_timestamp()
       WHERE state = 'active' AND ($1::uuid IS NULL OR tenant_id = $1) RETURNING id`,
      [tenantId],
    );
    await appendKeyAudit(client, tenantId, actor, 'tenant-keys.retired', { keys: rows.length });
    return rows.length;
  });
}

/**
 * Deletes every data key of a tenant: what they encrypted can never be read again, here or from a backup that has no keys (crypto-shredding).
 * Other processes remember a key for a minute. Resolves to the number of keys deleted.
 */
export async function forgetTenantKey(ops: Pool, tenantId: string, actor: string): Promise<number> {
  return inTransaction(ops, [], async (client) => {
    const { rows } = await client.query<{ id: string }>(
      'DELETE FROM ops.tenant_keys WHERE tenant_id = $1 RETURNING id',
      [tenantId],
    );
    await appendKeyAudit(client, tenantId, actor, 'tenant-key.forgotten', { keys: rows.map((row) => row.id) });
    return rows.length;
  });
}

async function appendKeyAudit(
  client: Pick<Pool, 'query'>,
  tenantId: string | null,
  actor: string,
  action: string,
  details: object,
): Promise<void> {
  await client.query('INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, $3, $4)', [
    tenantId,
    actor,
    action,
    JSON.stringify(details),
  ]);
}
