import { DEMO_TABLE_VERSION } from '@nightshift/db/demo';
import { localInstant } from '@nightshift/engine';
import { runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { makeOrganisation, type TestOrganisation } from './testing/organisation.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs, templates });
});
afterAll(() => engine.close());

interface CheckResult {
  readonly conclusion: string;
  readonly complete: boolean;
  readonly unresolved: string[];
  readonly interactions: { between: string[]; severity: string; source: string }[];
  readonly duplicate_therapy: object[];
}

describe('interaction-check', () => {
  const check = async (org: TestOrganisation, medications: string[], user_id = 'u1') =>
    (await runJob(engine, { job: 'medication.interaction-check', tenant: org.slug, input: { user_id, medications } }))
      .result as CheckResult;

  test('names, brands, ids, ingredients and classes, with what the user takes, the worst first', async () => {
    const org = await makeOrganisation(engine, 'pairs');
    const user = await org.addUser('u1');
    await org.take(user, 'Warfarin');
    await org.take(user, 'Phenelzine', { status: 'stopped' });
    const [sertraline] = await org.sql<{ id: string }>(
      `SELECT id FROM medication.medications WHERE tenant_id = $1 AND name = 'Sertraline'`,
    );
    const result = await check(org, ['ADVIL', sertraline?.id ?? '', 'Simvastatin', 'klacid']);
    expect(
      result.interactions.map(
        ({ between, severity }) => `${severity} ${between.join(' + ').replace(sertraline?.id ?? '', 'Sertraline')}`,
      ),
    ).toEqual([
      'CONTRAINDICATED Simvastatin + klacid',
      'MAJOR ADVIL + Warfarin',
      'MODERATE ADVIL + Sertraline',
      'MODERATE Sertraline + Warfarin',
      'MODERATE klacid + Warfarin',
    ]);
    for (const { source } of result.interactions) expect(source).toMatch(/US label/);
    expect(result).toMatchObject({
      complete: true,
      unresolved: [],
      duplicate_therapy: [],
      conclusion: `5 known in table ${DEMO_TABLE_VERSION}`,
    });
    expect(
      await org.sql('SELECT found, worst, complete FROM medication.interaction_checks WHERE tenant_id = $1'),
    ).toEqual([{ found: 5, worst: 'CONTRAINDICATED', complete: true }]);
  });

  test('the same ingredient or class twice; what is taken already is not a second time', async () => {
    const org = await makeOrganisation(engine, 'twice');
    await org.take(await org.addUser('u1'), 'Ibuprofen');
    expect((await check(org, ['Nurofen'])).duplicate_therapy).toEqual([]);
    expect((await check(org, ['Nurofen', 'ibuprofen'])).duplicate_therapy).toEqual([
      { between: ['Nurofen', 'ibuprofen'], same: 'ingredient', name: 'ibuprofen' },
    ]);
    expect((await check(org, ['Naproxen'])).duplicate_therapy).toEqual([
      { between: ['Naproxen', 'Ibuprofen'], same: 'class', name: 'nsaid' },
    ]);
    expect((await check(org, ['Zestoretic', 'Hydrochlorothiazide'])).duplicate_therapy).toContainEqual(
      expect.objectContaining({ same: 'ingredient', name: 'hydrochlorothiazide' }),
    );
  });

  test('what is not recognised is listed, the check is not complete, and nothing is called safe', async () => {
    const org = await makeOrganisation(engine, 'unknown');
    await org.addUser('u1');
    const result = await check(org, ['Metformin', 'Snake oil', 'Snake oil']);
    expect(result).toMatchObject({
      complete: false,
      unresolved: ['Snake oil'],
      interactions: [],
      conclusion: `none known in table ${DEMO_TABLE_VERSION}`,
    });
    expect(JSON.stringify(result)).not.toMatch(/safe/i);
    expect(result.conclusion).toContain('not for clinical use');
  });

  test('the table that was loaded last is in force; without one nothing was checked; another organisation’s is not seen', async () => {
    const org = await makeOrganisation(engine, 'licensed');
    await org.addUser('u1');
    await org.sql(
      `INSERT INTO medication.interactions (tenant_id, table_version, a_kind, a_name, b_kind, b_name, severity, effect, source)
       VALUES ($1, 'licensed 7', 'ingredient', 'metformin', 'ingredient', 'allopurinol', 'MINOR', 'an effect', 'a book')`,
    );
    expect(await check(org, ['Metformin', 'Allopurinol', 'Warfarin', 'Ibuprofen'])).toMatchObject({
      conclusion: '1 known in table licensed 7',
      interactions: [{ severity: 'MINOR', source: 'a book' }],
    });
    await org.sql('DELETE FROM medication.interactions WHERE tenant_id = $1');
    expect(await check(org, ['Warfarin', 'Ibuprofen'])).toMatchObject({
      complete: false,
      interactions: [],
      conclusion: expect.stringContaining('no interaction table'),
    });
  });

  test('many at once: each has its own answer, and one of nobody fails alone', async () => {
    const org = await makeOrganisation(engine, 'bundle');
    await org.addUser('u1');
    const requests = Array.from({ length: 40 }, (_, n) => ({
      job: 'medication.interaction-check',
      tenant: org.slug,
      input: {
        user_id: n === 7 ? 'nobody' : 'u1',
        medications: n % 2 === 0 ? ['Warfarin', 'Ibuprofen'] : ['Metformin'],
      },
    }));
    const accepted = await engine.producer.acceptMany(requests, 'test');
    const ids = accepted.map(({ id }) => id);
    const ended = await engine.producer.waitFor(ids, { timeoutMs: 40_000 });
    expect(ids.map((id) => ended.get(id))).toEqual(ids.map((_, n) => (n === 7 ? 'failed' : 'completed')));
    const found = await org.sql<{ run_id: string; found: number }>(
      'SELECT run_id, found FROM medication.interaction_checks WHERE tenant_id = $1',
    );
    expect(new Map(found.map((row) => [row.run_id, row.found]))).toEqual(
      new Map(ids.flatMap((id, n) => (n === 7 ? [] : [[id, n % 2 === 0 ? 1 : 0]]))),
    );
  });
});

describe('analytics-roll-up', () => {
  const ZONE = 'America/New_York';
  const rollUp = (org: TestOrganisation, input: object) =>
    runJob(engine, { job: 'medication.analytics-roll-up', tenant: org.slug, input });
  const all = ['adherence', 'reminders_sent', 'reminders_taken', 'refills', 'interactions'];

  async function withDoses(slug: string) {
    const org = await makeOrganisation(engine, slug, ZONE);
    const taken = await org.take(await org.addUser('u1', { zone: ZONE }), 'Metformin', {
      supply: 10,
      recorded: '2026-03-01T00:00:00Z',
    });
    const dose = (date: string, time: string, state: string, isTaken: boolean) =>
      org.sql(
        `INSERT INTO medication.reminders (tenant_id, user_medication_id, dose_date, dose_time, due_at, state, taken_at)
         VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 THEN $5::timestamptz END)`,
        [taken, date, time, localInstant(date, time, ZONE), state, isTaken],
      );
    return { org, taken, dose };
  }

  test('days are the organisation’s, also on a day of 23 hours; the end does not belong to the range; a second run changes nothing', async () => {
    const { org, taken, dose } = await withDoses('rolled');
    await dose('2026-03-07', '23:59', 'sent', true);
    await dose('2026-03-08', '00:00', 'sent', true);
    await dose('2026-03-08', '02:30', 'missed', false);
    await dose('2026-03-08', '23:59', 'sent', false);
    await dose('2026-03-09', '00:00', 'sent', true);
    await org.sql(
      `INSERT INTO medication.refills (tenant_id, user_medication_id, state, refilled_at, units) VALUES ($1, $2, 'done', '2026-03-08T12:00:00-04:00', 30)`,
      [taken],
    );
    const day = { time_range: { start: '2026-03-08', end: '2026-03-09' }, metrics_types: all };
    expect(await rollUp(org, day)).toMatchObject({
      status: 'completed',
      result: {
        days: 1,
        time_range: { start: '2026-03-08T05:00:00.000Z', end: '2026-03-09T04:00:00.000Z', zone: ZONE },
        metrics: { adherence: 1 / 3, reminders_sent: 2, reminders_taken: 1, refills: 1, interactions: 0 },
        rollupsUpdated: 5,
      },
    });
    expect(await rollUp(org, day)).toMatchObject({ result: { rollupsUpdated: 0 } });
    expect(await rollUp(org, { ...day, time_range: { start: '2026-03-07', end: '2026-03-10' } })).toMatchObject({
      result: { days: 3, metrics: { adherence: 3 / 5, reminders_sent: 4 }, rollupsUpdated: 10 },
    });
    const kept = await org.sql(
      `SELECT local_day::text AS day, counted, of_total FROM medication.analytics_rollups WHERE tenant_id = $1 AND metric = 'adherence' ORDER BY 1`,
    );
    expect(kept).toEqual([
      { day: '2026-03-07', counted: 1, of_total: 1 },
      { day: '2026-03-08', counted: 1, of_total: 3 },
      { day: '2026-03-09', counted: 1, of_total: 1 },
    ]);
  });

  test('nothing due: adherence is null, counts are 0; only what is asked for is kept', async () => {
    const { org } = await withDoses('empty');
    const input = {
      time_range: { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' },
      metrics_types: ['adherence', 'refills'],
    };
    expect(await rollUp(org, input)).toMatchObject({ result: { days: 2, metrics: { adherence: null, refills: 0 } } });
    expect(
      await org.sql('SELECT DISTINCT metric FROM medication.analytics_rollups WHERE tenant_id = $1 ORDER BY 1'),
    ).toEqual([{ metric: 'adherence' }, { metric: 'refills' }]);
  });

  test('without a range: the organisation’s yesterday, everything', async () => {
    const { org } = await withDoses('nightly');
    expect(await rollUp(org, {})).toMatchObject({ status: 'completed', result: { days: 1, rollupsUpdated: 5 } });
    const [row] = await org.sql<{ yesterday: boolean }>(
      `SELECT bool_and(local_day = (clock_timestamp() AT TIME ZONE 'America/New_York')::date - 1) AS yesterday FROM medication.analytics_rollups WHERE tenant_id = $1`,
    );
    expect(row?.yesterday).toBe(true);
  });

  test.each([
    [{ time_range: { start: '2026-01-02', end: '2026-01-02' }, metrics_types: all }, '/time_range/end'],
    [{ time_range: { start: '2026-01-01', end: '2027-01-03' }, metrics_types: all }, '/time_range/end'],
    [{ time_range: { start: 'yesterday', end: '2026-01-03' }, metrics_types: all }, '/time_range/start'],
    [{ time_range: { start: '2026-01-01', end: '2026-01-03' }, metrics_types: ['mood'] }, '/metrics_types/0'],
    [{ time_range: { start: '2026-01-01', end: '2026-01-03' }, metrics_types: [] }, '/metrics_types'],
    [{ metrics_types: all }, '/input'],
  ])('%j is refused', async (input, pointer) => {
    const { org } = {
      org: await makeOrganisation(engine, `refused-${pointer.replaceAll(/\W/g, '-')}-${Math.random()}`),
    };
    await expect(rollUp(org, input)).rejects.toThrow(pointer);
  });

  test('stopped or cancelled between two parts of a long range: what was saved stands, the next run adds the rest', async () => {
    const { org, dose } = await withDoses('parts');
    await dose('2026-03-05', '08:00', 'sent', true);
    await dose('2026-04-20', '08:00', 'sent', true);
    const input = { time_range: { start: '2026-03-01', end: '2026-05-01' }, metrics_types: ['reminders_sent'] };
    const rows = () =>
      org.sql<{ day: string; value: string }>(
        'SELECT local_day::text AS day, value FROM medication.analytics_rollups WHERE tenant_id = $1 ORDER BY 1',
      );
    await rollUp(org, input);
    const whole = await rows();
    expect(whole).toHaveLength(61);
    /** The first part has been made anew, and the second waits for a row that somebody holds until `release`. */
    const begin = async () => {
      await org.sql(`DELETE FROM medication.analytics_rollups WHERE tenant_id = $1 AND local_day <> '2026-04-20'`);
      await org.sql('UPDATE medication.analytics_rollups SET value = 9 WHERE tenant_id = $1');
      const holder = await engine.store.admin.connect();
      await holder.query(`BEGIN`);
      await holder.query('SELECT FROM medication.analytics_rollups WHERE tenant_id = $1 FOR UPDATE', [org.id]);
      const { id } = await engine.producer.accept(
        { job: 'medication.analytics-roll-up', tenant: org.slug, input },
        'test',
      );
      await until('the first part', async () => (await rows()).length === 32);
      const release = async () => {
        await holder.query('COMMIT');
        holder.release();
      };
      return { id, release };
    };
    const cancelled = await begin();
    await engine.producer.cancel(cancelled.id, 'test', null);
    const ended = await engine.producer.waitFor([cancelled.id], { timeoutMs: 40_000 });
    expect(ended.get(cancelled.id)).toBe('cancelled');
    await cancelled.release();
    expect(await rows()).toHaveLength(32);

    const stopped = await begin();
    await engine.workers[0]?.stop(0);
    await stopped.release();
    await engine.addWorker();
    await engine.producer.waitFor([stopped.id], { timeoutMs: 40_000 });
    expect(await rows()).toEqual(whole);
  });

  test('366 days are taken', async () => {
    const { org } = await withDoses('year');
    expect(
      await rollUp(org, { time_range: { start: '2027-12-31', end: '2028-12-31' }, metrics_types: all }),
    ).toMatchObject({
      result: { days: 366, rollupsUpdated: 1830 },
    });
  });
});
