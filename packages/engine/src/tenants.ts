import { isUuid, type Pool } from '@nightshift/db';
import type { DefinedJob, TenantRef } from './define-job.ts';
import { UnknownTenantError } from './errors.ts';

/** The tenant that owns the platform's own runs; made by the first migration. */
export const PLATFORM_TENANT = '00000000-0000-7000-8000-000000000001';
/** Slug of the row that owns a system's runs of system scope. */
export const SYSTEM_SLUG = 'system';

const MEMORY_MS = 10_000;
const MEMORY_ROWS = 10_000;
/** Past this age, ms, what is remembered is read again while it still serves: who asks all the time never waits. */
const AGAIN_MS = 5_000;

interface TenantRow extends TenantRef {
  readonly system: string;
  readonly kind: 'tenant' | 'system';
}

export interface Tenants {
  /** The tenant that a request names by id or slug; without a name the system's own, for jobs that have one. Errors: `UnknownTenantError`. */
  resolve(job: DefinedJob, idOrSlug: string | null): Promise<TenantRef>;
  byId(id: string): Promise<TenantRef>;
  /** Many in one query; `byId` then finds them remembered. Errors: `UnknownTenantError` for the first that there is not. */
  byIds(ids: Iterable<string>): Promise<ReadonlyMap<string, TenantRef>>;
  /** Tenants of kind `tenant`, by slug. */
  list(system: string): Promise<readonly TenantRef[]>;
}

interface Remembered {
  readonly row: Promise<TenantRow | null>;
  readonly until: number;
  /** True once it is being read again. */
  again: boolean;
}

/** Reads tenants as the platform; remembers what it found for 10 s. */
export function createTenants(ops: Pick<Pool, 'query'>): Tenants {
  const remembered = new Map<string, Remembered>();

  const COLUMNS = 'id, slug, name, zone, system, kind';

  async function read(where: string, values: unknown[]): Promise<TenantRow | null> {
    const { rows } = await ops.query<TenantRow>(`SELECT ${COLUMNS} FROM ops.tenants WHERE ${where} LIMIT 2`, values);
    return rows.length === 1 ? (rows[0] ?? null) : null;
  }

  async function readMany(ids: readonly string[]): Promise<readonly TenantRow[]> {
    const { rows } = await ops.query<TenantRow>(`SELECT ${COLUMNS} FROM ops.tenants WHERE id = ANY ($1)`, [ids]);
    if (remembered.size + rows.length > MEMORY_ROWS) remembered.clear();
    for (const row of rows) keep(row.id, Promise.resolve(row));
    return rows;
  }

  function keep(key: string, row: Promise<TenantRow | null>): Remembered {
    const entry = { row, until: Date.now() + MEMORY_MS, again: false };
    remembered.set(key, entry);
    return entry;
  }

  function fresh(key: string): Remembered | null {
    const known = remembered.get(key);
    return known !== undefined && known.until > Date.now() ? known : null;
  }

  /** True once for what is to be read again. */
  function ages(known: Remembered): boolean {
    if (known.again || known.until - Date.now() > MEMORY_MS - AGAIN_MS) return false;
    known.again = true;
    return true;
  }

  /** Whoever asks while somebody reads waits for the same answer: a thousand requests at once are one query. */
  function find(key: string, where: string, values: unknown[]): Promise<TenantRow | null> {
    const known = fresh(key);
    if (known !== null) return known.row;
    if (remembered.size >= MEMORY_ROWS) remembered.clear();
    const entry = keep(key, read(where, values));
    const forget = () => {
      if (remembered.get(key) === entry) remembered.delete(key);
    };
    // Neither an error nor an unknown name is remembered.
    entry.row.then((row) => row === null && forget(), forget);
    return entry.row;
  }

  /** The same, and what ages is read again for the next. */
  function findAhead(key: string, where: string, values: unknown[]): Promise<TenantRow | null> {
    const known = fresh(key);
    if (known !== null && ages(known))
      read(where, values).then(
        (row) => (row === null ? remembered.delete(key) : keep(key, Promise.resolve(row))),
        () => undefined,
      );
    return find(key, where, values);
  }

  async function byName(job: DefinedJob, idOrSlug: string): Promise<TenantRow | null> {
    if (isUuid(idOrSlug)) {
      const row = await findAhead(idOrSlug, 'id = $1', [idOrSlug]);
      return row !== null && (row.system === job.system || job.system === 'ops') ? row : null;
    }
    // The platform's own jobs run for any tenant; a slug must then be the only one of its kind.
    if (job.system === 'ops') return findAhead(`*/${idOrSlug}`, 'slug = $1', [idOrSlug]);
    return findAhead(`${job.system}/${idOrSlug}`, 'system = $1 AND slug = $2', [job.system, idOrSlug]);
  }

  return {
    async resolve(job, idOrSlug) {
      const owned = job.system === 'ops' || job.scope === 'system';
      if (idOrSlug === null && !owned) throw new UnknownTenantError(null, job.system);
      const row =
        idOrSlug !== null
          ? await byName(job, idOrSlug)
          : await findAhead(`system/${job.system}`, `system = $1 AND kind = 'system'`, [job.system]);
      const ofSystem = job.scope === 'system' && (job.ofOneTenant === undefined || idOrSlug === null);
      if (row === null || ofSystem !== (row.kind === 'system' && job.system !== 'ops')) {
        throw new UnknownTenantError(idOrSlug ?? SYSTEM_SLUG, job.system);
      }
      return row;
    },
    async byId(id) {
      const row = await find(id, 'id = $1', [id]);
      if (row === null) throw new UnknownTenantError(id, 'any');
      return row;
    },
    async byIds(ids) {
      const wanted = [...new Set(ids)];
      // Held here as well: memory has no room for more than `MEMORY_ROWS`.
      const found = new Map<string, Promise<TenantRow | null>>();
      const old: string[] = [];
      for (const id of wanted) {
        const known = fresh(id);
        if (known === null) continue;
        found.set(id, known.row);
        if (ages(known)) old.push(id);
      }
      if (old.length > 0) readMany(old).catch(() => undefined);
      const unknown = wanted.filter((id) => !found.has(id));
      if (unknown.length > 1) for (const row of await readMany(unknown)) found.set(row.id, Promise.resolve(row));
      const named = async (id: string) => {
        const row = await (found.get(id) ?? find(id, 'id = $1', [id]));
        if (row === null) throw new UnknownTenantError(id, 'any');
        return [id, row] as const;
      };
      return new Map(await Promise.all(wanted.map(named)));
    },
    async list(system) {
      const { rows } = await ops.query<TenantRef>(
        `SELECT id, slug, name, zone FROM ops.tenants WHERE system = $1 AND kind = 'tenant' ORDER BY slug`,
        [system],
      );
      return rows;
    },
  };
}
