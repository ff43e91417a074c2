import { randomUUID } from 'node:crypto';
import { createPool, type Pool } from '@nightshift/db';
import { createPass, type Pass, type PassDeps } from '../dispatch.ts';
import { type TestStore, testStore } from './test-store.ts';

// Queued runs and passes over them, without BullMQ.

export let store: TestStore;
export let ops: Pool;
export let queue: string;
let queues = 0;

export async function openStore(): Promise<void> {
  store = await testStore();
  ops = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 3, name: 'test' });
}

export async function closeStore(): Promise<void> {
  await ops.end();
  await store.close();
}

/** To be called before each test. */
export function ownQueue(): void {
  queue = `q${++queues}`;
}

export async function worker(slots: number, jobs: Record<string, number> = { x: 1 }, silentSeconds = 0): Promise<void> {
  await store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs, heartbeat_at)
     VALUES ($1, 'h', 1, 'v', $2, $3, clock_timestamp() - make_interval(secs => $4))`,
    [randomUUID(), JSON.stringify({ [queue]: slots }), JSON.stringify(jobs), silentSeconds],
  );
}

interface Waiting {
  readonly tenant?: string;
  readonly n?: number;
  readonly job?: string;
  readonly priority?: number;
  readonly version?: number;
  readonly ageSeconds?: number;
  readonly attempt?: number;
}

/** Queued runs, the oldest first. Resolves to their ids. */
export async function add(runs: Waiting = {}): Promise<string[]> {
  const { rows } = await store.admin.query<{ id: string }>(
    `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, attempt, due_at, actor, options, input)
     SELECT gen_random_uuid(), $1, $2, $3, $4, $5, 'queued', $6, clock_timestamp() - make_interval(secs => $7) + make_interval(secs => n / 1e6), 'test',
       '{"timeoutMs": 1000}', '{}' FROM generate_series(1, $8) n RETURNING id`,
    [
      runs.tenant ?? randomUUID(),
      runs.job ?? 'x',
      runs.version ?? 1,
      queue,
      runs.priority ?? 3,
      runs.attempt ?? 1,
      runs.ageSeconds ?? 0,
      runs.n ?? 1,
    ],
  );
  return rows.map((row) => row.id);
}

/** Passes of a process of its own over the queue. Errors: another process is making one. */
export function passes(deps: Partial<PassDeps> = {}): () => Promise<Pass> {
  const pass = createPass({ ops, kindOf: () => 'short', msPerRun: () => undefined, ...deps });
  return async () => {
    const made = await pass(queue);
    if (made === null) throw new Error('another pass is under way');
    return made;
  };
}

/** As if the dispatches had been executed. */
export async function finish(dispatches: Pass['dispatches']): Promise<void> {
  await store.admin.query(
    `WITH over AS (DELETE FROM ops.dispatches WHERE id = ANY ($1) RETURNING runs)
     DELETE FROM ops.open_runs WHERE id IN (SELECT unnest(runs) FROM over)`,
    [dispatches.map((dispatch) => dispatch.id)],
  );
}

/** Tenants in the order of their turns. */
export const inTurn = (n: number) =>
  Array.from({ length: n }, () => randomUUID())
    .sort()
    .reverse();

/** Passes, each executed before the next, until nothing is taken. Resolves to the dispatches in order. */
export async function drain(pass: () => Promise<Pass>, most = 100): Promise<Pass['dispatches']> {
  const all = [];
  for (let i = 0; i < most; i++) {
    const made = await pass();
    if (made.dispatches.length === 0) return all;
    all.push(...made.dispatches);
    await finish(made.dispatches);
  }
  return all;
}

export async function states(): Promise<Record<string, number>> {
  const { rows } = await store.admin.query<{ state: string; n: number }>(
    'SELECT status AS state, count(*)::integer AS n FROM ops.run_view WHERE queue = $1 AND ended_at IS NULL GROUP BY 1',
    [queue],
  );
  return Object.fromEntries(rows.map((row) => [row.state, row.n]));
}
