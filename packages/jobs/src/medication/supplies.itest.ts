import { localDate } from '@nightshift/engine';
import { runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { addDays } from './calendar-day.ts';
import { makeOrganisation, type TestOrganisation } from './testing/organisation.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs, templates });
});
afterAll(() => engine.close());

const today = (zone = 'UTC') => localDate(new Date(), zone);
const refillCheck = (organisation: TestOrganisation, input: object = {}) =>
  runJob(engine, { job: 'medication.refill-check', tenant: organisation.slug, input });
const monitor = (organisation: TestOrganisation, input: object = {}) =>
  runJob(engine, { job: 'medication.supply-monitor', tenant: organisation.slug, input });
const refills = (organisation: TestOrganisation) =>
  organisation.sql<{ state: string; due_on: string | null }>(
    'SELECT state, due_on::text FROM medication.refills WHERE tenant_id = $1 ORDER BY created_at',
  );
const alerts = (organisation: TestOrganisation) =>
  organisation.sql<{ cycle: number; days_left: number; state: string }>(
    'SELECT cycle, days_left, state FROM medication.supply_alerts WHERE tenant_id = $1 ORDER BY cycle',
  );
const messages = (organisation: TestOrganisation) =>
  organisation.sql<{ dedupe_key: string }>('SELECT dedupe_key FROM ops.notifications WHERE tenant_id = $1 ORDER BY id');

test('a count is recorded with time and caller, and answered with days left and refill date', async () => {
  const org = await makeOrganisation(engine, 'counted', 'Asia/Tokyo');
  const taken = await org.take(await org.addUser('u1', { zone: 'Asia/Tokyo' }), 'Metformin', { unitsADay: 2 });
  const day = today('Asia/Tokyo');
  const input = { user_id: 'u1', medication_id: 'Glucophage', current_supply: 61 };
  expect(await refillCheck(org, input)).toMatchObject({
    status: 'completed',
    result: {
      days_left: 30,
      run_out_on: addDays(day, 30),
      refill_on: addDays(day, 23),
      refill_due: false,
      units_a_day: 2,
      lead_days: 7,
    },
  });
  const row =
    "SELECT supply_units::float8 AS units, supply_recorded_by AS by, supply_recorded_at > clock_timestamp() - interval '1 minute' AS now, refill_on::text AS on FROM medication.user_medications WHERE id = $2 AND tenant_id = $1";
  expect(await org.sql(row, [taken])).toEqual([{ units: 61, by: 'test', now: true, on: addDays(day, 23) }]);
  await refillCheck(org, { ...input, current_supply: 6.5 });
  expect(await org.sql(row, [taken])).toMatchObject([{ units: 6.5, on: addDays(day, -4) }]);
  expect(await refills(org)).toEqual([{ state: 'due', due_on: addDays(day, -4) }]);
  // A later count stands: what a retry of an earlier one says does not overwrite it.
  await org.sql(
    `UPDATE medication.user_medications SET supply_run_id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' WHERE tenant_id = $1`,
  );
  expect(await refillCheck(org, { ...input, current_supply: 7 })).toMatchObject({ result: { days_left: 3 } });
  expect(await org.sql(row, [taken])).toMatchObject([{ units: 6.5 }]);
});

test('nothing used: days left are null, nothing is due, nobody is told; less than nothing or a fourth decimal is refused', async () => {
  const org = await makeOrganisation(engine, 'unused');
  await org.addUser('u1');
  const input = { user_id: 'u1', medication_id: 'Ibuprofen', current_supply: 0 };
  expect(await refillCheck(org, input)).toMatchObject({
    result: { days_left: null, run_out_on: null, refill_due: false },
  });
  expect(await monitor(org, { user_id: 'u1', medications: [] })).toMatchObject({
    result: { medications: [{ days_left: null, alert: null }] },
  });
  for (const current_supply of [-1, -0.001, 1.2345, Number.NaN])
    await expect(refillCheck(org, { ...input, current_supply })).rejects.toThrow('current_supply');
  expect([await refills(org), await alerts(org), await messages(org)]).toEqual([[], [], []]);
});

test('each morning: refills of today and before are due, tomorrow’s are not; a second run changes nothing', async () => {
  const org = await makeOrganisation(engine, 'morning');
  const user = await org.addUser('u1');
  await org.take(user, 'Metformin', { supply: 7 });
  await org.take(user, 'Warfarin', { supply: 8 });
  await org.take(user, 'Amlodipine', { supply: 60, recorded: new Date(Date.now() - 53 * 86_400_000).toISOString() });
  await org.take(user, 'Allopurinol', { supply: 1, status: 'stopped' });
  await org.take(user, 'Lisinopril');
  expect(await refillCheck(org)).toMatchObject({
    status: 'completed',
    expected: 3,
    result: { medicationsProcessed: 3, medicationsUpdated: 3, refillsDue: 2, errors: [] },
  });
  expect((await refills(org)).map(({ due_on }) => due_on)).toEqual([today(), today()]);
  expect(await refillCheck(org)).toMatchObject({ changed: 0, result: { medicationsUpdated: 0, refillsDue: 0 } });
  expect(await refills(org)).toHaveLength(2);
});

test('the user’s own midnight decides what today is', async () => {
  const org = await makeOrganisation(engine, 'midnight');
  for (const zone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
    // 25 hours apart: never the same date.
    const user = await org.addUser(zone, { zone });
    await org.take(user, 'Metformin', { supply: 30 });
  }
  await refillCheck(org);
  const rows = await org.sql<{ zone: string; on: string }>(
    'SELECT u.zone, t.run_out_on::text AS on FROM medication.user_medications t JOIN medication.users u ON u.id = t.user_id WHERE t.tenant_id = $1 ORDER BY 1',
  );
  expect(rows).toEqual(
    ['Pacific/Kiritimati', 'Pacific/Pago_Pago'].map((zone) => ({ zone, on: addDays(today(zone), 30) })),
  );
});

test('a low supply is told once a refill cycle, at exactly lead time and three days; a refill arms it again', async () => {
  const org = await makeOrganisation(engine, 'low');
  const user = await org.addUser('u1');
  const low = await org.take(user, 'Metformin', { supply: 10 });
  await org.take(user, 'Warfarin', { supply: 11 });
  expect(await monitor(org)).toMatchObject({
    status: 'completed',
    result: { medicationsProcessed: 2, alertsRaised: 1 },
  });
  expect(await alerts(org)).toEqual([{ cycle: 0, days_left: 10, state: 'open' }]);
  expect(await messages(org)).toEqual([{ dedupe_key: `supply:${low}:0` }]);
  expect(await monitor(org)).toMatchObject({ changed: 0, result: { alertsRaised: 0 } });
  await org.sql(
    `INSERT INTO medication.refills (tenant_id, user_medication_id, state, refilled_at, units) VALUES ($1, $2, 'done', clock_timestamp(), 30)`,
    [low],
  );
  expect(await monitor(org)).toMatchObject({ result: { alertsRaised: 0 } });
  expect(await alerts(org)).toEqual([{ cycle: 0, days_left: 10, state: 'closed' }]);
  await org.sql(
    `UPDATE medication.user_medications SET supply_recorded_at = clock_timestamp() - interval '35 days' WHERE tenant_id = $1 AND id = $2`,
    [low],
  );
  expect(await monitor(org)).toMatchObject({ result: { alertsRaised: 1 } });
  expect(await alerts(org)).toMatchObject([{ cycle: 0 }, { cycle: 1, days_left: 5, state: 'open' }]);
  expect(await messages(org)).toHaveLength(2);
});

test('a count that only a refill explains begins a new cycle, one that doesn’t does not', async () => {
  const org = await makeOrganisation(engine, 'recounted');
  await org.take(await org.addUser('u1'), 'Metformin', { supply: 6 });
  const count = (current_supply: number) =>
    refillCheck(org, { user_id: 'u1', medication_id: 'Metformin', current_supply });
  await monitor(org);
  await count(8);
  expect((await monitor(org)).changed).toBe(0);
  await count(90);
  expect((await refills(org)).map(({ state }) => state)).toEqual(['done']);
  expect(await alerts(org)).toMatchObject([{ cycle: 0, state: 'closed' }]);
  await count(9);
  expect((await monitor(org)).changed).toBe(1);
});

test('asked about some or all of a user’s medications; one of nobody fails at once', async () => {
  const org = await makeOrganisation(engine, 'asked');
  const user = await org.addUser('u1');
  await org.take(user, 'Metformin', { supply: 3 });
  await org.take(user, 'Warfarin', { supply: 50 });
  const results = async (medications: string[]) =>
    (
      (await monitor(org, { user_id: 'u1', medications })).result as {
        medications: { days_left: number; alert: string | null }[];
      }
    ).medications;
  expect(await results(['Coumadin'])).toMatchObject([{ days_left: 50, alert: null }]);
  const all = await results([]);
  expect(all).toHaveLength(2);
  expect(all).toContainEqual(expect.objectContaining({ days_left: 3, alert: 'raised', alert_at_days_left: 10 }));
  expect(await results(['Metformin'])).toMatchObject([{ alert: 'raised before' }]);
  expect(await monitor(org, { user_id: 'u1', medications: ['Snake oil'] })).toMatchObject({
    status: 'failed',
    attempts: 1,
    errorClass: 'NoSuchEntityError',
  });
  expect(await monitor(org, { user_id: 'nobody', medications: [] })).toMatchObject({
    status: 'failed',
    errorClass: 'NoSuchEntityError',
  });
});

test('stopped between batches, cancelled between batches: each supply is looked at, each alert raised once', async () => {
  const JOBS = ['medication.refill-check', 'medication.supply-monitor'];
  const organisations = [await makeOrganisation(engine, 'halfway'), await makeOrganisation(engine, 'halted')] as const;
  for (const org of organisations)
    for (let n = 0; n < 4; n++) await org.take(await org.addUser(`u${n}`), 'Metformin', { supply: 3 });
  const slow = { batchSize: 1, batchDelayMs: 60_000 };
  const counts = async (org: TestOrganisation) => [(await refills(org)).length, (await alerts(org)).length];
  /** Runs of both jobs, after the first batch of each. */
  const begin = async (org: TestOrganisation) => {
    const ids: string[] = [];
    for (const job of JOBS)
      ids.push((await engine.producer.accept({ job, tenant: org.slug, input: {}, options: slow }, 'test')).id);
    await until('the first batch of each', async () => !(await counts(org)).includes(0));
    expect(await counts(org)).toEqual([1, 1]);
    return ids;
  };
  const [halfway, halted] = organisations;
  const cancelled = await begin(halted);
  for (const id of cancelled) await engine.producer.cancel(id, 'test', null);
  expect([...(await engine.producer.waitFor(cancelled, { timeoutMs: 40_000 })).values()]).toEqual([
    'cancelled',
    'cancelled',
  ]);
  expect(await counts(halted)).toEqual([1, 1]);
  const stopped = await begin(halfway);
  await engine.workers[0]?.stop(0);
  await halfway.sql(`UPDATE ops.open_runs SET options = options || '{"batchDelayMs": 0}' WHERE tenant_id = $1`);
  await engine.addWorker();
  await engine.producer.waitFor(stopped, { timeoutMs: 40_000 });
  expect(await counts(halfway)).toEqual([4, 4]);
  // What a cancelled run left, the next one does.
  expect([(await refillCheck(halted)).status, (await monitor(halted)).status]).toEqual(['completed', 'completed']);
  expect(await counts(halted)).toEqual([4, 4]);
  for (const org of organisations) expect(await messages(org)).toHaveLength(4);
});

test('one user with an unknown zone: the others’ supplies are checked', async () => {
  const org = await makeOrganisation(engine, 'broken-supply');
  const bad = await org.take(await org.addUser('bad'), 'Metformin', { supply: 3 });
  await org.take(await org.addUser('good'), 'Metformin', { supply: 3 });
  await org.sql(`UPDATE medication.users SET zone = 'Mars/Olympus' WHERE tenant_id = $1 AND number = 'bad'`);
  for (const job of [refillCheck, monitor])
    expect(await job(org)).toMatchObject({
      status: 'completed_with_item_errors',
      failedItems: 1,
      result: { errors: [{ item: bad }] },
    });
  expect(await alerts(org)).toHaveLength(1);
});
