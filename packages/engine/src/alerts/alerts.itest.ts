import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { PermanentError } from '../errors.ts';
import { newId } from '../id.ts';
import { findAlert, generatedTasks, listAlerts } from '../query/index.ts';
import { runJob, type TestEngine, testEngine, until } from '../testing/index.ts';
import { addItems, countAsDone, makeTinyTables, tinyRequest, tinySweep, tinyTask } from '../testing/tiny.ts';
import { lookAtAlerts } from './alert-watch.ts';
import { raiseAlert } from './raise-alert.ts';

const flaky = tinyRequest('flaky', {
  retry: { retries: 0 },
  handle: async (_ctx, runs) =>
    runs.map(({ input }) => (input.fail ? { error: new Error('it is broken today') } : { ok: {} })),
});
const watchful = tinyRequest('watchful', {
  handle: async (ctx, runs) => {
    const [run] = runs;
    if (run?.input.gone) await ctx.resolveAlert('door');
    else await ctx.alert({ key: 'door', severity: 'WARNING', message: 'the door is open' });
    return runs.map(({ input }) => (input.fail ? { error: new PermanentError('no') } : { ok: {} }));
  },
});
const task = tinyTask('task', {
  run: async (ctx, input) => {
    await ctx.alert({ key: 'disk', severity: 'CRITICAL', message: 'the disk is full' });
    if (input.fail) throw new PermanentError('and so it fails');
    return { resolved: await ctx.resolveAlert('disk') };
  },
});
const sweep = tinySweep('sweep', {
  process: async (ctx, items) => {
    await ctx.alert({ key: 'seen', severity: 'INFO', message: 'items were seen' });
    const done = await countAsDone(ctx, items);
    return { ...done, tally: { 'task:LABS_PENDING': items.length, 'task:VL_MONITOR': 1, other: 5 } };
  },
});

let engine: TestEngine;
let north: string;
let south: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [flaky, watchful, task, sweep] });
  await makeTinyTables(engine.store);
  north = await engine.store.addTenant('tiny', 'north');
  south = await engine.store.addTenant('tiny', 'south');
  await addItems(engine.store, north, 25);
});
afterAll(() => engine.close());
afterEach(() => engine.store.admin.query('DELETE FROM ops.alerts'));

const alerts = async (tenantId: string | null = null) =>
  (await listAlerts(engine.producer.pools, { limit: 50, tenantId })).items;
const run = (job: string, input: object, tenant = 'north', options = {}) =>
  runJob(engine, { job: `tiny.${job}`, tenant, input, options });
/** What the loop does each 10 s; a worker may be at it. */
const look = () =>
  until('a look of our own', () =>
    lookAtAlerts({ ops: engine.producer.pools.ops, log: pino({ level: 'silent' }) }, null),
  );
/** The alert that a look leaves. */
async function looked(where: string) {
  await look();
  const { rows } = await engine.store.admin.query(`SELECT * FROM ops.alerts WHERE ${where}`);
  return rows[0];
}

test('three failed runs in a row open one CRITICAL alert of job and tenant, which a good run resolves', async () => {
  for (const fail of [true, true, false, true, true]) await run('flaky', { fail });
  await run('flaky', { fail: true }, 'south');
  expect((await run('flaky', { fail: true })).status).toBe('failed');
  const opened = await looked(`key LIKE 'failing:%'`);
  expect(opened).toMatchObject({
    key: `failing:tiny.flaky:${north}`,
    severity: 'CRITICAL',
    tenant_id: north,
    job: 'tiny.flaky',
    count: 1,
    message: 'tiny.flaky for north failed 3 times in a row, after its retries, the last time with Error.',
  });
  expect(await alerts()).toHaveLength(1);

  await run('flaky', { fail: true });
  expect(await looked(`key LIKE 'failing:%'`)).toMatchObject({ count: 2 });
  expect(await looked(`key LIKE 'failing:%'`)).toMatchObject({ count: 2 });
  await run('flaky', { fail: false });
  expect(await looked(`state = 'resolved'`)).toMatchObject({ id: opened.id, resolved_by: 'platform' });
  expect(await alerts()).toHaveLength(1);
});

test('a streak that was called resolved opens again only with another failure', async () => {
  for (let i = 0; i < 3; i++) await run('flaky', { fail: true });
  const { id } = await looked(`key LIKE 'failing:%'`);
  await engine.producer.alerts.resolve(id, 'ada', null);
  await look();
  expect((await alerts()).filter((one) => one.state === 'open')).toEqual([]);
  await run('flaky', { fail: true });
  expect((await looked(`key LIKE 'failing:%' AND state = 'open'`)).id).not.toBe(id);
  await run('flaky', { fail: false });
});

test.each([
  ['cancelled runs', `outcome = 'cancelled'`],
  ['shards', `parent_id = '${newId()}'`],
  ['dry runs', `options = options || '{"dryRun": true}'`],
])('%s make no streak', async (_what, change) => {
  await insertRuns('tiny.other', 3, change);
  await insertRuns('tiny.real', 3, 'stale_inputs = false');
  expect(await looked(`key = 'failing:tiny.real:${south}'`)).toBeDefined();
  expect(await alerts()).toHaveLength(1);
  await engine.store.admin.query(`ALTER TABLE ops.runs DISABLE TRIGGER USER`);
  await engine.store.admin.query(`DELETE FROM ops.runs WHERE job IN ('tiny.other', 'tiny.real')`);
});

/** Failed runs of the tenant south as history, changed. */
async function insertRuns(job: string, n: number, change: string): Promise<void> {
  await engine.store.admin.query(`ALTER TABLE ops.runs DISABLE TRIGGER USER`);
  await engine.store.admin.query(
    `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options)
     SELECT id, $2, $3, 1, 'tiny', 2, 'failed', 1, clock_timestamp(), clock_timestamp(), 'test', '{}' FROM unnest($1::uuid[]) AS id`,
    [Array.from({ length: n }, newId), south, job],
  );
  await engine.store.admin.query(`UPDATE ops.runs SET ${change} WHERE job = $1`, [job]);
}

test('a job raises and resolves its alerts with its transaction', async () => {
  await run('watchful', {});
  await run('watchful', {});
  await run('watchful', {}, 'south');
  const [theirs, ours] = await alerts();
  expect(ours).toMatchObject({ key: `job:tiny.watchful:${north}:door`, count: 2, severity: 'WARNING', state: 'open' });
  expect(theirs).toMatchObject({ tenantId: south, count: 1 });
  expect(await alerts(south)).toEqual([theirs]);

  expect((await run('watchful', { gone: true, fail: true })).status).toBe('failed');
  expect((await alerts(north))[0]).toMatchObject({ state: 'open', count: 2 });
  await run('watchful', { gone: true });
  expect((await alerts(north))[0]).toMatchObject({ state: 'resolved', resolvedBy: 'job:tiny.watchful' });
});

test("a task's alert stays when the task fails; a dry run raises none", async () => {
  expect((await run('task', { fail: true })).status).toBe('failed');
  expect(await alerts()).toMatchObject([{ severity: 'CRITICAL', message: 'the disk is full', state: 'open' }]);
  expect((await run('task', {})).result).toEqual({ resolved: true });
  await engine.store.admin.query('DELETE FROM ops.alerts');
  expect((await run('task', {}, 'north', { dryRun: true })).result).toEqual({ resolved: false });
  await run('sweep', {}, 'north', { dryRun: true });
  expect(await alerts()).toEqual([]);
});

test('tasks that a sweep generated are counted as it ends, by type; those of a dry run are not', async () => {
  const before = new Map((await generatedTasks(engine.producer.pools)).map((one) => [one.type, one.total]));
  const ended = await run('sweep', {});
  await run('sweep', {}, 'north', { dryRun: true });
  await run('sweep', {}, 'north', { shards: 2 });
  expect(ended.result).toMatchObject({ tally: { 'task:LABS_PENDING': 25 } });
  const after = await generatedTasks(engine.producer.pools);
  const grown = Object.fromEntries(after.map(({ type, total }) => [type, total - (before.get(type) ?? 0)]));
  expect(grown).toEqual({ LABS_PENDING: 50, VL_MONITOR: 6 });
  expect((await alerts(north))[0]).toMatchObject({ runId: expect.any(String), severity: 'INFO', count: 6 });
});

test('alerts are acknowledged and resolved once, by whom it says', async () => {
  await raiseAlert(engine.store.admin, { key: 'x:1', severity: 'WARNING', message: 'one', tenantId: north });
  const [{ id = '' } = {}] = await alerts();
  await engine.producer.alerts.acknowledge(id, 'ada', north);
  await engine.producer.alerts.acknowledge(id, 'bob', null);
  await raiseAlert(engine.store.admin, { key: 'x:1', severity: 'CRITICAL', message: 'worse', tenantId: north });
  const find = () => findAlert(engine.producer.pools, id, north);
  expect(await find()).toMatchObject({
    state: 'acknowledged',
    acknowledgedBy: 'ada',
    count: 2,
    severity: 'CRITICAL',
    message: 'worse',
  });
  await engine.producer.alerts.resolve(id, 'bob', null);
  await engine.producer.alerts.resolve(id, 'eve', null);
  expect(await find()).toMatchObject({ state: 'resolved', resolvedBy: 'bob', acknowledgedBy: 'ada' });
  await expect(engine.producer.alerts.acknowledge(id, 'ada', null)).rejects.toMatchObject({ code: 'alert-state' });
  await expect(engine.producer.alerts.resolve(id, 'sue', south)).rejects.toMatchObject({ code: 'unknown-alert' });
  await expect(findAlert(engine.producer.pools, id, south)).rejects.toMatchObject({ code: 'unknown-alert' });
  const { rows } = await engine.store.admin.query(
    `SELECT actor, action FROM ops.audit_log WHERE details ->> 'alert' = $1 ORDER BY at`,
    [id],
  );
  expect(rows).toEqual([
    { actor: 'ada', action: 'alert.acknowledged' },
    { actor: 'bob', action: 'alert.resolved' },
  ]);
});

test.each([
  ['coverage', 'expected = 10, processed = 9', 'expected = 10, processed = 10'],
  ['stale-inputs', `stale_inputs = true, tick_date = '2026-11-22'`, `tick_date = '2026-11-22'`],
  ['crash-loop', `outcome = 'cancelled'`, 'processed = 0'],
])('%s resolves itself with a run that shows it is gone, and with no other', async (kind, still, gone) => {
  const where = `key = '${kind}:tiny.past:${south}'`;
  await raiseAlert(engine.store.admin, {
    key: `${kind}:tiny.past:${south}`,
    severity: 'WARNING',
    message: kind,
    tenantId: south,
    job: 'tiny.past',
  });
  await insertRuns('tiny.past', 1, `outcome = 'completed', ${still.includes('outcome') ? 'processed = 0' : still}`);
  if (still.includes('outcome')) await engine.store.admin.query(`UPDATE ops.runs SET ${still} WHERE job = 'tiny.past'`);
  expect(await looked(where)).toMatchObject({ state: 'open' });
  await insertRuns('tiny.past', 1, `outcome = 'completed', ${gone}, stale_inputs = false`);
  expect(await looked(where)).toMatchObject({ state: 'resolved', resolved_by: 'platform' });
  await engine.store.admin.query(`DELETE FROM ops.runs WHERE job = 'tiny.past'`);
});

test('a missed tick resolves itself with the next that fires, a failed request when it was quiet for an hour', async () => {
  const schedule = newId();
  for (const key of [`tick-missed:${schedule}`, 'http-500:GET /v1/jobs']) {
    await raiseAlert(engine.store.admin, { key, severity: 'CRITICAL', message: key });
  }
  await look();
  expect((await alerts()).map((one) => one.state)).toEqual(['open', 'open']);
  await engine.store.admin.query(
    `UPDATE ops.alerts SET last_seen_at = last_seen_at - interval '61 minutes' WHERE key LIKE 'http-500:%'`,
  );
  await engine.store.admin.query(
    `INSERT INTO ops.ticks (schedule_id, job, due_at, state, schedule_version, lateness_ms)
     VALUES ($1, 'tiny.flaky', clock_timestamp(), 'fired', 1, 0)`,
    [schedule],
  );
  await look();
  expect((await alerts()).map((one) => one.state)).toEqual(['resolved', 'resolved']);
});

test('a schedule that could not be fired resolves itself with the next tick of its own, or once it is switched off', async () => {
  const { admin } = engine.store;
  const [failing, off, other] = [newId(), newId(), newId()];
  for (const id of [failing, off]) {
    await admin.query(
      `INSERT INTO ops.schedules (id, job, cron, zone, tenant_selector) VALUES ($1, 'tiny.flaky', '0 2 * * *', 'UTC', jsonb_build_object('only', $2::text[]))`,
      [id, [id]],
    );
    await raiseAlert(admin, { key: `schedule-failing:${id}`, severity: 'CRITICAL', message: 'no' });
  }
  const record = (schedule: string) =>
    admin.query(
      `INSERT INTO ops.ticks (schedule_id, job, due_at, state, schedule_version, lateness_ms)
       VALUES ($1, 'tiny.flaky', clock_timestamp() - interval '1 day', 'skipped', 1, 0)`,
      [schedule],
    );
  await record(other);
  for (const id of [failing, off])
    expect(await looked(`key = 'schedule-failing:${id}'`)).toMatchObject({ state: 'open' });
  await record(failing);
  await admin.query('UPDATE ops.schedules SET enabled = false WHERE id = $1', [off]);
  for (const id of [failing, off])
    expect(await looked(`key = 'schedule-failing:${id}'`)).toMatchObject({
      state: 'resolved',
      resolved_by: 'platform',
    });
  await admin.query('DELETE FROM ops.schedules WHERE id = ANY ($1)', [[failing, off]]);
});

test('a time zone that is none resolves itself once no tenant of the system has it', async () => {
  const lost = await engine.store.addTenant('tiny', 'lost', 'Mars/Base');
  await engine.store.addTenant('other', 'lost', 'Mars/Base');
  await raiseAlert(engine.store.admin, { key: 'tenant-zone:tiny:Mars/Base', severity: 'CRITICAL', message: 'none' });
  expect(await looked(`key LIKE 'tenant-zone:%'`)).toMatchObject({ state: 'open' });
  await engine.store.admin.query(`UPDATE ops.tenants SET zone = 'UTC' WHERE id = $1`, [lost]);
  expect(await looked(`key LIKE 'tenant-zone:%'`)).toMatchObject({ state: 'resolved', resolved_by: 'platform' });
});
