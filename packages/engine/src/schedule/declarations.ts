import { createHash } from 'node:crypto';
import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import { raiseAlert } from '../alerts/raise-alert.ts';
import type { DefinedJob } from '../define-job.ts';
import { SYSTEM_SLUG } from '../tenants.ts';
import { nextInstant, zoneProblem } from './cron.ts';
import { type FireDeps, SCHEDULE_COLUMNS, type ScheduleRow } from './fire.ts';
import { stepIfItCan } from './locked-schedule.ts';

/** A declaration in force is confirmed so often by the processes that have it, ms. */
export const CONFIRM_EVERY_MS = 20_000;
/** Nobody confirmed it for so long: an older build may put its own back, ms. */
const ABANDONED_MS = 120_000;

interface Declared {
  readonly id: string;
  readonly job: string;
  readonly cron: string;
  readonly zone: string;
  readonly tenantZone: string | null;
  readonly dst: string;
  readonly misfire: string;
  readonly misfireWithinMs: number | null;
  readonly misfireSameDay: boolean;
  readonly overlap: string;
}

type DeclaredRow = ScheduleRow & {
  readonly enabled: boolean;
  readonly edited: boolean;
  readonly declared: string | null;
  readonly superseded: readonly string[];
  readonly confirmed_ms: number | null;
  readonly now: Date;
};

const DECLARED_COLUMNS = `${SCHEDULE_COLUMNS}, enabled, edited, declared, superseded, clock_timestamp() AS now,
  (extract(epoch FROM clock_timestamp() - declared_at) * 1000)::float8 AS confirmed_ms`;

/** An id that every process derives alike, so that declaring twice meets a key. */
function derivedId(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function declaredOf(job: DefinedJob, zone: string, tenantZone: string | null): Declared | null {
  const { schedule } = job;
  if (schedule === undefined) return null;
  const within = schedule.misfire?.within;
  return {
    id: derivedId(`schedule ${job.name} ${tenantZone ?? ''}`),
    job: job.name,
    cron: schedule.cron,
    zone,
    tenantZone,
    dst: schedule.dst ?? 'once',
    misfire: schedule.misfire?.policy ?? 'latest',
    misfireWithinMs: typeof within === 'number' ? within : null,
    misfireSameDay: within === 'same-day',
    overlap: schedule.overlap ?? 'skip',
  };
}

function fingerprint({ cron, zone, dst, misfire, misfireWithinMs, misfireSameDay, overlap }: Declared): string {
  const parts = [cron, zone, dst, misfire, misfireWithinMs, misfireSameDay, overlap];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/**
 * Writes the catalogue's schedules and the tenants of kind `system` that own system-scope runs. Called at each start and every
 * `CONFIRM_EVERY_MS` after: a tenant in a new zone gets its schedule, and the newest build's declaration stays in force for as long as one of
 * its processes confirms it. Resolves to the queues that got runs, where an old version was stepped up to now.
 */
export async function syncDeclarations(deps: FireDeps & { ops: Pool }, mayFire: boolean): Promise<Set<string>> {
  return inTransaction(deps.ops, [], async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.schedules'))`);
    const { jobs } = deps.catalogue;
    for (const system of new Set(jobs.filter((job) => job.scope === 'system').map((job) => job.system))) {
      await client.query(
        `INSERT INTO ops.tenants (id, system, slug, name, kind) VALUES ($1, $2, $3, $2, 'system') ON CONFLICT DO NOTHING`,
        [derivedId(`system ${system}`), system, SYSTEM_SLUG],
      );
    }
    const queues = new Set<string>();
    const all = await allDeclared(deps, client, jobs);
    for (const declared of all) {
      for (const queue of await declare(deps, client, declared, mayFire)) queues.add(queue);
    }
    for (const row of await abandoned(client, jobs, all)) {
      for (const queue of await retire(deps, client, row, mayFire)) queues.add(queue);
    }
    return queues;
  });
}

/** General schedules of these jobs that their declarations ask for no more, and that no process confirms: another kind of zone, or none at all. */
async function abandoned(
  client: PoolClient,
  jobs: readonly DefinedJob[],
  declared: readonly Declared[],
): Promise<DeclaredRow[]> {
  const byZone = jobs.filter((job) => job.schedule?.zone === 'tenant').map((job) => job.name);
  const { rows } = await client.query<DeclaredRow>(
    `SELECT ${DECLARED_COLUMNS} FROM ops.schedules
     WHERE job = ANY ($1) AND owner_tenant IS NULL AND enabled AND NOT edited AND declared IS NOT NULL AND id <> ALL ($2::uuid[])
       AND NOT (tenant_zone IS NOT NULL AND job = ANY ($3)) AND declared_at < clock_timestamp() - make_interval(secs => $4)
     ORDER BY id FOR UPDATE SKIP LOCKED`,
    [jobs.map((job) => job.name), declared.map((one) => one.id), byZone, ABANDONED_MS / 1_000],
  );
  return rows;
}

/** Off, until it is declared again; its ticks stay, and what was due until now is fired first. */
async function retire(
  deps: FireDeps,
  client: PoolClient,
  row: DeclaredRow,
  mayFire: boolean,
): Promise<Iterable<string>> {
  const mustFire = row.next_due_at <= row.now;
  if (mustFire && !mayFire) return [];
  const queues = mustFire ? await stepIfItCan(deps, client, row, row.now) : [];
  await client.query(
    'UPDATE ops.schedules SET enabled = false, version = version + 1, updated_at = clock_timestamp() WHERE id = $1',
    [row.id],
  );
  deps.log.info({ job: row.job, schedule: row.id }, 'schedule retired: it is declared no more');
  return queues;
}

async function allDeclared(deps: FireDeps, client: PoolClient, jobs: readonly DefinedJob[]): Promise<Declared[]> {
  const found: (Declared | null)[] = [];
  for (const job of jobs) {
    if (job.schedule === undefined) continue;
    if (job.schedule.zone !== 'tenant') {
      found.push(declaredOf(job, job.schedule.zone, null));
      continue;
    }
    const { rows } = await client.query<{ zone: string }>(
      `SELECT DISTINCT zone FROM ops.tenants WHERE system = $1 AND kind = 'tenant' ORDER BY zone`,
      [job.system],
    );
    for (const { zone } of rows) {
      if (zoneProblem(zone) === null) found.push(declaredOf(job, zone, zone));
      else await tellZone(deps, client, job.system, zone);
    }
  }
  return found.filter((declared) => declared !== null);
}

/** Its tenants get no runs of schedules that follow their zone; everybody else's go on. */
async function tellZone(deps: FireDeps, client: PoolClient, system: string, zone: string): Promise<void> {
  deps.log.error({ system, zone }, 'tenants have a time zone that is none: nothing is scheduled for them');
  await raiseAlert(client, {
    key: `tenant-zone:${system}:${zone}`,
    severity: 'CRITICAL',
    message: `Tenants of ${system} have the time zone '${zone}', which is none: jobs that follow their zone do not run for them.`,
  });
}

async function declare(
  deps: FireDeps,
  client: PoolClient,
  declared: Declared,
  mayFire: boolean,
): Promise<Iterable<string>> {
  const print = fingerprint(declared);
  const seen = await findDeclared(client, declared.id, '');
  if (seen === undefined) {
    await insertDeclared(client, declared, print);
    return [];
  }
  if (seen.edited) return [];
  const retired = !seen.enabled && !seen.edited;
  if (seen.declared === print && !retired) {
    if ((seen.confirmed_ms ?? CONFIRM_EVERY_MS) > CONFIRM_EVERY_MS / 2) await confirm(client, declared.id);
    return [];
  }
  if (!retired && seen.superseded.includes(print) && (seen.confirmed_ms ?? 0) < ABANDONED_MS) return [];
  const row = await findDeclared(client, declared.id, 'FOR UPDATE');
  if (row === undefined || row.edited) return [];
  // A process that fires nothing leaves what is still due to the version it was due under.
  const mustFire = row.enabled && row.next_due_at <= row.now;
  if (mustFire && !mayFire) return [];
  const queues = mustFire ? await stepIfItCan(deps, client, row, row.now) : [];
  await replaceDeclared(client, declared, print, row.now);
  return queues;
}

async function findDeclared(client: PoolClient, id: string, lock: '' | 'FOR UPDATE'): Promise<DeclaredRow | undefined> {
  const { rows } = await client.query<DeclaredRow>(
    `SELECT ${DECLARED_COLUMNS} FROM ops.schedules WHERE id = $1 ${lock}`,
    [id],
  );
  return rows[0];
}

/** Waits for nobody: who holds the row is a clock or a person, and the next round comes soon. */
async function confirm(client: PoolClient, id: string): Promise<void> {
  await client.query(
    `UPDATE ops.schedules SET declared_at = clock_timestamp() WHERE id IN (SELECT id FROM ops.schedules WHERE id = $1 FOR UPDATE SKIP LOCKED)`,
    [id],
  );
}

async function insertDeclared(client: PoolClient, d: Declared, print: string): Promise<void> {
  await client.query(
    `INSERT INTO ops.schedules (id, job, cron, zone, tenant_zone, dst, misfire, misfire_within_ms, misfire_same_day, overlap, declared, declared_at, next_due_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp(), $12) ON CONFLICT DO NOTHING`,
    [
      ...[d.id, d.job, d.cron, d.zone, d.tenantZone, d.dst, d.misfire, d.misfireWithinMs, d.misfireSameDay, d.overlap],
      print,
      nextInstant(d.cron, d.zone, new Date(), d.dst as ScheduleRow['dst']),
    ],
  );
}

/** A new version, unless only the fingerprint was missing. */
async function replaceDeclared(client: PoolClient, d: Declared, print: string, now: Date): Promise<void> {
  await client.query(
    `UPDATE ops.schedules s SET cron = $2, zone = $3, dst = $4, misfire = $5, misfire_within_ms = $6, misfire_same_day = $7, overlap = $8,
       declared = $9, declared_at = clock_timestamp(), updated_at = clock_timestamp(), enabled = true, next_due_at = CASE WHEN same AND s.enabled THEN s.next_due_at ELSE $10 END,
       superseded = CASE WHEN s.declared IS NULL THEN s.superseded ELSE array_append(array_remove(s.superseded, $9), s.declared) END,
       version = s.version + CASE WHEN same AND s.enabled THEN 0 ELSE 1 END
     FROM (SELECT (cron, zone, dst, misfire, misfire_within_ms, misfire_same_day, overlap) IS NOT DISTINCT FROM
       ($2::text, $3::text, $4::text, $5::text, $6::bigint, $7::boolean, $8::text) AS same FROM ops.schedules WHERE id = $1) AS compared
     WHERE s.id = $1`,
    [
      ...[d.id, d.cron, d.zone, d.dst, d.misfire, d.misfireWithinMs, d.misfireSameDay, d.overlap],
      print,
      nextInstant(d.cron, d.zone, now, d.dst as ScheduleRow['dst']),
    ],
  );
}
