import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createJobSettings } from './job-settings.ts';
import { findRun } from './query/index.ts';
import { unblock } from './schedule/after.ts';
import { createClock } from './schedule/clock.ts';
import { fakeClock, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, makeTinyTables, tinySweep, tinyTask } from './testing/tiny.ts';

// `up` is due at 2, `down` at 3 and after it; its deadline is at 4.

const up = tinyTask('up', { schedule: { cron: '0 2 * * *', zone: 'UTC' }, run: async () => null });
const down = tinySweep('down', { schedule: { cron: '0 3 * * *', zone: 'UTC', after: 'tiny.up' } });

let engine: TestEngine;
let ops: Pool;
let tenant: string;
let tenants = 0;
let day: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [up, down], workers: 0 });
  await makeTinyTables(engine.store);
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 4, name: 'test' });
  await engine.producer.syncSchedules();
});
beforeEach(async () => {
  // One tenant and one day a test.
  await sql('UPDATE ops.tenants SET system = $1 WHERE system = $2', ['elsewhere', 'tiny']);
  tenants += 1;
  tenant = await engine.store.addTenant('tiny', `t${tenants}`);
  day = `2031-03-${String(tenants + 10)}`;
});
afterAll(async () => {
  await ops.end();
  await engine.close();
});

const sql = async <Row extends object>(text: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(text, values)).rows;
const at = (clock: string) => new Date(`${day}T${clock}:00Z`);

/** The tick of a job on the day. Resolves to the run it made. */
async function tick(job: 'up' | 'down'): Promise<string> {
  const due = at(job === 'up' ? '02:00' : '03:00');
  await sql(`UPDATE ops.schedules SET next_due_at = '2100-01-01'`);
  await sql('UPDATE ops.schedules SET next_due_at = $1 WHERE job = $2', [due, `tiny.${job}`]);
  const { now } = fakeClock(due.toISOString());
  const clock = createClock({
    ops,
    catalogue: engine.producer.catalogue,
    settings: createJobSettings(ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: false,
    now,
  });
  await clock.fire();
  await clock.stop();
  const [run] = await sql<{ id: string }>('SELECT id FROM ops.open_runs WHERE tenant_id = $1 AND job = $2', [
    tenant,
    `tiny.${job}`,
  ]);
  return run?.id ?? '';
}

const find = (id: string) => findRun(engine.producer.pools, id, null);
const cancel = (id: string) => engine.producer.cancel(id, 'test', null);
async function statusAt(clock: string, id: string): Promise<[string, boolean]> {
  await unblock(ops, at(clock));
  const run = await find(id);
  return [run.status, run.staleInputs];
}
/** Since half past three, for two hours at most. */
const running = (id: string) =>
  sql(
    `UPDATE ops.open_runs SET state = 'running', attempt_started_at = $2, options = options || '{"timeoutMs": 7200000}' WHERE id = $1`,
    [id, at('03:30')],
  );
const alerts = () => sql('SELECT severity, job FROM ops.alerts WHERE tenant_id = $1', [tenant]);

const BLOCKED = ['blocked', false];
const QUEUED = ['queued', false];
const STALE = ['queued', true];

describe('a tick after another job', () => {
  it('waits until that has ended, however it ended', async () => {
    const upstream = await tick('up');
    const id = await tick('down');
    expect(await find(id)).toMatchObject({ afterJob: 'tiny.up', blockedUntil: at('04:00') });
    expect(await statusAt('03:01', id)).toEqual(BLOCKED);
    await cancel(upstream);
    expect(await statusAt('03:02', id)).toEqual(QUEUED);
    expect(await alerts()).toEqual([]);
  });

  it('starts at once when that has ended before', async () => {
    await cancel(await tick('up'));
    expect(await statusAt('03:00', await tick('down'))).toEqual(QUEUED);
  });

  it('starts with stale inputs and a warning when there is none at the deadline', async () => {
    const id = await tick('down');
    expect(await statusAt('03:59', id)).toEqual(BLOCKED);
    expect(await statusAt('04:01', id)).toEqual(STALE);
    expect(await alerts()).toEqual([{ severity: 'WARNING', job: 'tiny.down' }]);
  });

  it('counts neither another tenant’s run nor another day’s', async () => {
    const other = await engine.store.addTenant('tiny', `t${tenants}-other`);
    await tick('up');
    for (const run of await sql<{ id: string }>('SELECT id FROM ops.open_runs WHERE tenant_id = $1', [other]))
      await cancel(run.id);
    for (const run of await sql<{ id: string }>(
      `SELECT id FROM ops.open_runs WHERE tenant_id = $1 AND job = 'tiny.up'`,
      [tenant],
    )) {
      await sql('UPDATE ops.open_runs SET tick_date = tick_date - 1 WHERE id = $1', [run.id]);
      await cancel(run.id);
    }
    const id = await tick('down');
    expect(await statusAt('03:30', id)).toEqual(BLOCKED);
    expect(await statusAt('04:01', id)).toEqual(STALE);
  });

  it('waits past the deadline for one that still runs, until its timeout', async () => {
    const upstream = await tick('up');
    const id = await tick('down');
    await running(upstream);
    expect(await statusAt('04:30', id)).toEqual(BLOCKED);
    expect(await statusAt('05:29', id)).toEqual(BLOCKED);
    expect(await statusAt('05:31', id)).toEqual(STALE);
    expect(await alerts()).toHaveLength(1);
  });

  it.each([
    ['has ended', cancel],
    ['still runs', running],
  ])('does not take a dry run for one that %s', async (_how, then) => {
    const upstream = await tick('up');
    await sql(`UPDATE ops.open_runs SET options = options || '{"dryRun": true}' WHERE id = $1`, [upstream]);
    await then(upstream);
    const id = await tick('down');
    expect(await statusAt('03:30', id)).toEqual(BLOCKED);
    expect(await statusAt('04:01', id)).toEqual(STALE);
  });

  it('can be cancelled while it waits', async () => {
    const id = await tick('down');
    expect(await cancel(id)).toBe('cancelled');
    expect(await statusAt('04:01', id)).toEqual(['cancelled', false]);
  });

  it('is not what a person starts: that waits for nobody', async () => {
    await tick('up');
    const { status } = await engine.producer.accept({ job: 'tiny.down', tenant, input: {} }, 'test');
    expect(status).toBe('queued');
    const started = await engine.producer.start({ kind: 'drop-in', job: 'tiny.down' }, 'test');
    expect(await find(started.runs[0]?.runId ?? '')).toMatchObject({ status: 'queued', afterJob: null });
  });

  it('tells in its summary that its inputs were stale', async () => {
    await addItems(engine.store, tenant, 3, { prefix: `t${tenants}-` });
    const id = await tick('down');
    await unblock(ops, at('04:01'));
    await engine.addWorker();
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    const run = await find(id);
    expect(run).toMatchObject({ status: 'completed', staleInputs: true, processed: 3 });
    expect(run.result).toMatchObject({ staleInputs: true });
  });
});
