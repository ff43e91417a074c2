import type { Pool } from 'pg';
import { type DataKey, newWrappedKey, openKey, type WrappedKey } from './data-key.ts';
import type { Keyring } from './keyring.ts';

/** A pool or client that acts as ns_ops, or as an administrator. */
export type KeyStore = Pick<Pool, 'query'>;

/** A key that was taken from the table is forgotten everywhere after this time, ms. */
export const KEY_MEMORY_MS = 60_000;
/** Keys remembered at most; some 300 bytes each. */
const KEY_MEMORY_ROWS = 10_000;

/** Keys of tenants, as this process has read them. */
export interface TenantKeys {
  /** The key that encrypts, by tenant; made where there is none. Errors: `UnknownMasterKeyError`, `WrappedKeyError`. */
  active(tenantIds: Iterable<string>): Promise<ReadonlyMap<string, DataKey>>;
  /** Keys that envelopes name, by id; those that are gone are left out. Errors: the same. */
  byId(ids: Iterable<string>): Promise<ReadonlyMap<string, DataKey>>;
}

const COLUMNS = 'id, tenant_id AS "tenantId", master_key_id AS "masterKeyId", wrapped';

export function createTenantKeys(deps: { keyring: Keyring; pool: KeyStore }): TenantKeys {
  const { keyring, pool } = deps;

  async function readActive(tenantIds: readonly string[]): Promise<Map<string, WrappedKey>> {
    const { rows } = await pool.query<WrappedKey>(
      `SELECT ${COLUMNS} FROM ops.tenant_keys WHERE tenant_id = ANY ($1::uuid[]) AND state = 'active'`,
      [tenantIds],
    );
    return new Map(rows.map((row) => [row.tenantId, row]));
  }

  async function loadActive(tenantIds: readonly string[]): Promise<Map<string, DataKey>> {
    let found = await readActive(tenantIds);
    const without = tenantIds.filter((id) => !found.has(id));
    if (without.length > 0) {
      await insertKeys(
        pool,
        without.map((tenantId) => newWrappedKey(tenantId, keyring.active)),
      );
      // Whichever process was first made the row that all of them use.
      found = await readActive(tenantIds);
    }
    const keys = opened(found.values(), (key) => key.tenantId);
    // Most envelopes are under their tenant's active key: reading them asks no more.
    byId.remember([...keys.values()].map((key) => [key.id, key]));
    return keys;
  }

  async function loadById(ids: readonly string[]): Promise<Map<string, DataKey>> {
    const { rows } = await pool.query<WrappedKey>(`SELECT ${COLUMNS} FROM ops.tenant_keys WHERE id = ANY ($1)`, [ids]);
    return opened(rows, (key) => key.id);
  }

  function opened(rows: Iterable<WrappedKey>, nameOf: (key: DataKey) => string): Map<string, DataKey> {
    return new Map(
      [...rows].map((row) => {
        const key = openKey(row, keyring);
        return [nameOf(key), key];
      }),
    );
  }

  const active = createMemory(loadActive);
  const byId = createMemory(loadById);
  return { active: active.read, byId: byId.read };
}

/** In tenant order, so that two processes which make many keys at once cannot deadlock. */
async function insertKeys(pool: KeyStore, keys: readonly WrappedKey[]): Promise<void> {
  const ordered = [...keys].sort((a, b) => (a.tenantId < b.tenantId ? -1 : 1));
  await pool.query(
    `WITH made AS (
       INSERT INTO ops.tenant_keys (id, tenant_id, master_key_id, wrapped)
       SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[])
       ON CONFLICT (tenant_id) WHERE state = 'active' DO NOTHING RETURNING id, tenant_id, master_key_id
     )
     INSERT INTO ops.audit_log (tenant_id, actor, action, details)
     SELECT tenant_id, 'platform', 'tenant-key.made', jsonb_build_object('key', id, 'masterKey', master_key_id) FROM made`,
    [
      ordered.map((key) => key.id),
      ordered.map((key) => key.tenantId),
      ordered.map((key) => key.masterKeyId),
      ordered.map((key) => key.wrapped),
    ],
  );
}

interface Memory {
  read(names: Iterable<string>): Promise<ReadonlyMap<string, DataKey>>;
  /** Keys just read in another way. */
  remember(keys: readonly (readonly [name: string, key: DataKey])[]): void;
}

type Load = (names: readonly string[]) => Promise<ReadonlyMap<string, DataKey>>;

/**
 * Remembers what `load` found. Many who ask at once for one key share a query; one who asks for many makes one. Neither errors nor
 * absent keys are remembered.
 */
function createMemory(load: Load): Memory {
  const remembered = new Map<string, { readonly key: Promise<DataKey | null>; readonly until: number }>();

  function start(names: readonly string[]): [string, Promise<DataKey | null>][] {
    const loading = load(names);
    const until = performance.now() + KEY_MEMORY_MS;
    return names.map((name) => {
      const entry = { key: loading.then((found) => found.get(name) ?? null), until };
      remembered.set(name, entry);
      const forget = () => {
        if (remembered.get(name) === entry) remembered.delete(name);
      };
      entry.key.then((key) => key === null && forget(), forget);
      return [name, entry.key];
    });
  }

  function makeRoom(count: number): void {
    if (remembered.size + count > KEY_MEMORY_ROWS) remembered.clear();
  }

  async function read(names: Iterable<string>): Promise<ReadonlyMap<string, DataKey>> {
    const wanted = [...new Set(names)];
    const now = performance.now();
    const reading = new Map<string, Promise<DataKey | null>>();
    for (const name of wanted) {
      const known = remembered.get(name);
      if (known !== undefined && known.until > now) reading.set(name, known.key);
    }
    const missing = wanted.filter((name) => !reading.has(name));
    if (missing.length > 0) {
      makeRoom(missing.length);
      for (const [name, key] of start(missing)) reading.set(name, key);
    }
    const found = new Map<string, DataKey>();
    for (const [name, key] of await Promise.all([...reading].map(async ([n, k]) => [n, await k] as const)))
      if (key !== null) found.set(name, key);
    return found;
  }

  return {
    read,
    remember(keys) {
      makeRoom(keys.length);
      const until = performance.now() + KEY_MEMORY_MS;
      for (const [name, key] of keys) remembered.set(name, { key: Promise.resolve(key), until });
    },
  };
}
