import { createPool, inTransaction } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import type { SweepContext } from '@nightshift/engine';
import { findRun, listFailures } from '@nightshift/engine/accept';
import { runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobs } from '../index.ts';
import { holdRow } from '../testing/hold-row.ts';
import { generateTasks } from './generate-tasks.job.ts';
import { addClient, addFacility, type NewClient } from './testing/clinic-rows.ts';

const FAST = { batchSize: 100, batchDelayMs: 0 };

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs });
  await seedDemo({
    adminUrl: engine.store.adminUrl,
    gyms: 1,
    members: 1,
    days: 1,
    facilities: 2,
    clients: 300,
    seed: 5,
  });
});
afterAll(() => engine.close());

const rows = async <Row extends object>(sql: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(sql, values)).rows;
const run = (job: string, tenant: string, options: object = FAST) =>
  runJob(engine, { job: `clinic.${job}`, tenant, input: {}, options });
const facility = (slug: string, zone = 'UTC', numbers = {}) => addFacility(engine.store, slug, zone, numbers);
const client = (tenantId: string, number: string, more: NewClient = {}) =>
  addClient(engine.store, tenantId, number, more);
const systemTenant = async () =>
  (await rows<{ slug: string }>(`SELECT slug FROM ops.tenants WHERE kind = 'system' AND system = 'clinic'`))[0]?.slug ??
  'system';
const tasks = (tenantId: string) =>
  rows<{ client: string; type: string; status: string; rule: string; due: number }>(
    `SELECT c.number AS client, t.type, t.status, t.rule, t.due_on - (now() AT TIME ZONE o.zone)::date AS due
     FROM clinic.tasks t JOIN clinic.clients c ON c.tenant_id = t.tenant_id AND c.id = t.client_id JOIN ops.tenants o ON o.id = t.tenant_id
     WHERE t.tenant_id = $1 ORDER BY c.number, t.type, t.due_on`,
    [tenantId],
  );
const open = async (tenantId: string) =>
  (await tasks(tenantId)).filter(({ status }) => status === 'open').map(({ client, type, due }) => [client, type, due]);

describe('over demo data', () => {
  test('summaries: every client has one, all statuses occur, and a second run changes nothing', async () => {
    const [all] = await rows<{ n: number }>(
      'SELECT count(*)::int AS n FROM clinic.clients WHERE tenant_id = (SELECT id FROM ops.tenants WHERE slug = $1)',
      ['harbour-view'],
    );
    expect(await run('refresh-summaries', 'harbour-view')).toMatchObject({
      status: 'completed',
      expected: all?.n,
      result: { clientsProcessed: all?.n, summariesUpdated: all?.n, errors: [], duration: expect.any(Number) },
    });
    const before = await rows('SELECT * FROM clinic.clinical_summaries ORDER BY client_id');
    expect(await run('refresh-summaries', 'harbour-view')).toMatchObject({ result: { summariesUpdated: 0 } });
    expect(await rows('SELECT * FROM clinic.clinical_summaries ORDER BY client_id')).toEqual(before);
    const statuses = await rows<{ s: string | null }>(
      'SELECT DISTINCT vl_status AS s FROM clinic.clinical_summaries ORDER BY 1',
    );
    expect(statuses.map(({ s }) => s)).toEqual(['stale', 'suppressed', 'undetectable', 'unsuppressed', null]);
    const named = await rows(
      'SELECT DISTINCT r.kind FROM clinic.clinical_summaries s JOIN clinic.regimens r ON r.id IN (s.arv_regimen_id, s.prep_regimen_id)',
    );
    expect(named).toHaveLength(2);
  });

  test('tasks: every type occurs, counts are told by type, and a second run changes nothing', async () => {
    const first = await run('generate-tasks', 'harbour-view');
    const made = await rows<{ type: string; n: number }>(
      `SELECT type, count(*)::int AS n FROM clinic.tasks WHERE source = 'system' AND status = 'open' GROUP BY 1`,
    );
    expect(made).toHaveLength(5);
    expect(first).toMatchObject({
      status: 'completed',
      failedItems: 0,
      result: {
        tasksCreated: made.reduce((sum, { n }) => sum + n, 0),
        tasksGenerated: Object.fromEntries(made.map(({ type, n }) => [type, n])),
        tasksClosed: 0,
      },
    });
    const before = await rows('SELECT * FROM clinic.tasks ORDER BY id');
    expect(await run('generate-tasks', 'harbour-view')).toMatchObject({ changed: 0, result: { tasksCreated: 0 } });
    expect(await rows('SELECT * FROM clinic.tasks ORDER BY id')).toEqual(before);
    expect(
      await rows(
        `SELECT FROM clinic.tasks t JOIN clinic.clients c ON c.tenant_id = t.tenant_id AND c.id = t.client_id WHERE c.status <> 'active'`,
      ),
    ).toEqual([]);
  });

  test('dashboard: five views, each with its time, over all facilities', async () => {
    await run('generate-tasks', 'harbour-view');
    const ended = await runJob(engine, {
      job: 'clinic.refresh-dashboard',
      tenant: await systemTenant(),
      input: {},
    });
    const view = (name: string) => ({ view: name, rows: expect.any(Number), durationMs: expect.any(Number) });
    expect(ended).toMatchObject({
      status: 'completed',
      result: {
        viewsRefreshed: 5,
        views: [
          'mv_enrollments_by_month',
          'mv_status_counts',
          'mv_population_counts',
          'mv_task_summary',
          'mv_facility_metrics',
        ].map(view),
        errors: [],
      },
    });
    const counted = async (base: string, view: string) =>
      expect(await rows(`SELECT * FROM clinic.${view} ORDER BY 1, 2`)).toEqual(await rows(base));
    await counted(
      'SELECT tenant_id, status, count(*)::int AS clients FROM clinic.clients GROUP BY 1, 2 ORDER BY 1, 2',
      'mv_status_counts',
    );
    await counted(
      `SELECT tenant_id, key_population, count(*)::int AS clients, count(*) FILTER (WHERE status = 'active')::int AS active FROM clinic.clients GROUP BY 1, 2 ORDER BY 1, 2`,
      'mv_population_counts',
    );
    const [sum] = await rows<{ n: number; m: number }>(
      'SELECT (SELECT sum(enrollments)::int FROM clinic.mv_enrollments_by_month) AS n, (SELECT count(*)::int FROM clinic.enrollments) AS m',
    );
    expect(sum?.n).toBe(sum?.m);
    const metrics = await rows<Record<string, number>>('SELECT * FROM clinic.mv_facility_metrics');
    expect(metrics.length).toBeGreaterThanOrEqual(2);
    const busy = metrics.find(({ ltfu_open }) => (ltfu_open ?? 0) > 0);
    expect(busy?.vl_suppressed).toBeGreaterThan(0);
    expect(busy?.refills_overdue).toBeGreaterThan(0);
    expect(busy?.vl_tested).toBeGreaterThan(busy?.vl_suppressed ?? 0);
  });
});

describe('generate-tasks', () => {
  test('lost to follow-up at exactly 90 days and 29 days after the expected contact, by the facility’s own numbers too', async () => {
    const make = async (slug: string, numbers: object, [quiet, missed]: [number, number]) => {
      const id = await facility(slug, 'Africa/Kampala', numbers);
      for (const days of [quiet - 1, quiet]) await client(id, `quiet-${days}`, { visits: [{ ago: days }] });
      for (const days of [missed, missed + 1])
        await client(id, `missed-${days}`, { visits: [{ ago: days + 14, appointment: -days }] });
      await client(id, 'booked', { visits: [{ ago: quiet + 20, appointment: 1 }] });
      await client(id, 'supplied', { visits: [{ ago: quiet + 20, supplied: quiet + 21, kind: 'ARV' }] });
      await run('generate-tasks', slug);
      expect(await open(id)).toEqual([
        [`missed-${missed + 1}`, 'LTFU_REVIEW', 0],
        [`quiet-${quiet}`, 'LTFU_REVIEW', 0],
      ]);
      const named = (await tasks(id)).map(({ rule }) => rule);
      expect(named).toEqual(['missed_contact', 'no_activity']);
    };
    await make('ltfu', {}, [90, 28]);
    await make('ltfu-own', { ltfu_days: 60, interruption_days: 7 }, [60, 7]);
  });

  test('refills within 3 days or past, for the programme that the client is on, and none while a review is open', async () => {
    const id = await facility('refills');
    const on = (programme: 'ART' | 'PREP', next: number) => ({
      programme,
      startedAgo: 20,
      labs: [{ test: 'CD4' as const, drawnAgo: 20, value: 400 }],
      visits: [{ ago: 20, supplied: 20 + next, kind: programme === 'ART' ? ('ARV' as const) : ('PREP' as const) }],
    });
    for (const next of [-5, 3, 4]) await client(id, `arv${next}`, on('ART', next));
    for (const next of [3, 4]) await client(id, `prep${next}`, on('PREP', next));
    await client(id, 'none', { visits: on('ART', 1).visits });
    await client(id, 'stopped', { ...on('ART', 1), endedAgo: 1 });
    await client(id, 'review', {
      ...on('ART', 1),
      visits: [{ ago: 120, supplied: 30, kind: 'ARV' }],
      startedAgo: 120,
      labs: [{ test: 'CD4', drawnAgo: 120, value: 400 }],
    });
    await run('generate-tasks', 'refills');
    expect(await open(id)).toEqual([
      ['arv-5', 'REFILL_ARV', -5],
      ['arv3', 'REFILL_ARV', 3],
      ['prep3', 'REFILL_PREP', 3],
      ['review', 'LTFU_REVIEW', -61],
    ]);
    // The review is closed by hand: the refill comes back, and the review stays closed.
    await rows(`UPDATE clinic.tasks SET status = 'completed' WHERE tenant_id = $1 AND type = 'LTFU_REVIEW'`, [id]);
    expect(await run('generate-tasks', 'refills')).toMatchObject({ result: { tasksCreated: 1 } });
    expect(await open(id)).toContainEqual(['review', 'REFILL_ARV', -90]);
    expect(await open(id)).not.toContainEqual(['review', 'LTFU_REVIEW', -61]);
  });

  test('a review made later supersedes the open refill', async () => {
    const id = await facility('superseded');
    const late = await client(id, 'late', {
      programme: 'ART',
      startedAgo: 60,
      labs: [{ test: 'CD4', drawnAgo: 60, value: 400 }],
      visits: [{ ago: 57, supplied: 30, kind: 'ARV' }],
    });
    await run('generate-tasks', 'superseded');
    expect(await open(id)).toEqual([['late', 'REFILL_ARV', -27]]);
    await rows(
      "UPDATE clinic.dispenses SET dispensed_at = dispensed_at - interval '2 days', next_refill_on = next_refill_on WHERE client_id = $1",
      [late],
    );
    await run('generate-tasks', 'superseded');
    expect((await tasks(id)).map(({ type, status }) => [type, status])).toEqual([
      ['LTFU_REVIEW', 'open'],
      ['REFILL_ARV', 'superseded'],
    ]);
  });

  test('viral loads: announced 30 days ahead, pending once past, never for PrEP, none while a sample waits; the announcement is replaced', async () => {
    const id = await facility('loads');
    const art = (startedAgo: number, labs: NewClient['labs'] = []) => ({
      programme: 'ART' as const,
      startedAgo,
      labs: [{ test: 'CD4' as const, drawnAgo: startedAgo, value: 300 }, ...labs],
      visits: [{ ago: 1, appointment: 60 }],
    });
    const vl = (drawnAgo: number, value: number | null = 40) => ({ test: 'VL' as const, drawnAgo, value });
    await client(id, 'b-overdue', art(400));
    await client(id, 'c-soon', art(800, [vl(340)]));
    await client(id, 'd-not-yet', art(800, [vl(300)]));
    await client(id, 'e-repeat', art(500, [vl(100, 5_000)]));
    await client(id, 'f-sample', art(400, [{ test: 'VL', drawnAgo: 30, value: null }]));
    await client(id, 'g-lapsed', art(400, [{ test: 'VL', drawnAgo: 31, value: null }]));
    await client(id, 'h-prep', { ...art(400), programme: 'PREP' });
    await client(id, 'i-no-baseline', { ...art(20), labs: [] });
    await run('generate-tasks', 'loads');
    const kinds = async () => (await open(id)).map(([number, type]) => [number, type]);
    expect(await kinds()).toEqual([
      ['b-overdue', 'LABS_PENDING'],
      ['c-soon', 'VL_MONITOR'],
      ['e-repeat', 'LABS_PENDING'],
      ['g-lapsed', 'LABS_PENDING'],
      ['i-no-baseline', 'LABS_PENDING'],
    ]);
    // 60 days on: moving the past back, past the triggers, is the same as waiting.
    await rows(`
      BEGIN; SET LOCAL session_replication_role = 'replica';
      UPDATE clinic.lab_results SET drawn_on = drawn_on - 60, resulted_on = resulted_on - 60 FROM clinic.clients c
      WHERE c.id = client_id AND c.tenant_id = '${id}' AND c.number = 'c-soon' AND test = 'VL';
      UPDATE clinic.tasks SET due_on = due_on - 60 WHERE tenant_id = '${id}';
      COMMIT`);
    await run('generate-tasks', 'loads');
    const soon = (await tasks(id)).filter(({ client }) => client === 'c-soon');
    expect(soon.map(({ type, status, due }) => [type, status, due])).toEqual([
      ['LABS_PENDING', 'open', soon[1]?.due],
      ['VL_MONITOR', 'superseded', expect.any(Number)],
    ]);
  });

  test('a task closed by hand is not made again for that due date, one of a later due date is', async () => {
    const id = await facility('by-hand');
    const who = await client(id, 'one', { visits: [{ ago: 100 }] });
    await run('generate-tasks', 'by-hand');
    await rows(`UPDATE clinic.tasks SET status = 'cancelled' WHERE client_id = $1`, [who]);
    expect(await run('generate-tasks', 'by-hand')).toMatchObject({ result: { tasksCreated: 0, tasksReopened: 0 } });
    await rows(`UPDATE clinic.encounters SET occurred_at = occurred_at + interval '5 days' WHERE client_id = $1`, [
      who,
    ]);
    expect(await run('generate-tasks', 'by-hand')).toMatchObject({ result: { tasksCreated: 1 } });
    expect(await tasks(id)).toMatchObject([
      { status: 'cancelled', due: -10 },
      { status: 'open', due: -5 },
    ]);
  });

  test('a client with a result that says nothing fails alone', async () => {
    const id = await facility('unreadable');
    for (let n = 0; n < 20; n++)
      await client(id, `K${n}`, {
        programme: 'ART',
        startedAgo: 400,
        labs: [{ test: 'VL', drawnAgo: 10, value: 400, comparator: n === 7 ? '>' : '=' }],
      });
    for (const job of ['refresh-summaries', 'generate-tasks']) {
      const ended = await run(job, 'unreadable');
      expect(ended).toMatchObject({ status: 'completed_with_item_errors', processed: 20, failedItems: 1 });
      const failures = await listFailures(engine.producer.pools, ended.id, null, { limit: 10 });
      expect(JSON.stringify(failures)).toContain('UnreadableResultError');
    }
    expect(await rows('SELECT FROM clinic.clinical_summaries WHERE tenant_id = $1', [id])).toHaveLength(19);
  });

  test('today is the facility’s: across the date line the same instant is two days', async () => {
    for (const zone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
      const slug = zone.slice(8).toLowerCase();
      const id = await facility(slug.replace('_', '-'), zone);
      await rows(
        `INSERT INTO clinic.clients (tenant_id, number, registered_on) VALUES
           ($1, 'due', (now() AT TIME ZONE $2)::date - 90), ($1, 'not-yet', (now() AT TIME ZONE $2)::date - 89)`,
        [id, zone],
      );
      await run('generate-tasks', slug.replace('_', '-'));
      expect(await open(id), zone).toEqual([['due', 'LTFU_REVIEW', 0]]);
    }
  });

  test('90 days are counted in the facility’s days: across changed clocks and a leap day, at its midnight', async () => {
    const id = await facility('clocks', 'Europe/London');
    const pool = createPool({ url: engine.store.databaseUrl, role: 'ns_app', max: 1, name: 'test' });
    /** What a night at this instant makes of one client. */
    const tasksMade = (client: string, now: string) =>
      inTransaction(pool, [id], async (session) => {
        const ctx = { client: session, now: new Date(now), tenants: [{ id, slug: 'clocks', zone: 'Europe/London' }] };
        return (await generateTasks.process(ctx as unknown as SweepContext<never>, [{ id: client }])).changed;
      });
    try {
      for (const [number, visit, due] of [
        ['before-spring', '2025-03-29T23:59:59Z', '2025-06-26T23:00:00Z'],
        ['after-spring', '2025-03-30T23:00:00Z', '2025-06-28T23:00:00Z'],
        ['before-autumn', '2025-10-25T22:59:59Z', '2026-01-23T00:00:00Z'],
        ['after-autumn', '2025-10-25T23:00:00Z', '2026-01-24T00:00:00Z'],
        ['leap-day', '2023-12-01T12:00:00Z', '2024-02-29T00:00:00Z'],
        ['past-leap-day', '2024-02-29T12:00:00Z', '2024-05-28T23:00:00Z'],
      ] as const) {
        const who = await client(id, number, { registeredAgo: 2_000 });
        await rows('INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at) VALUES ($1, $2, $3)', [
          id,
          who,
          visit,
        ]);
        const justBefore = new Date(new Date(due).getTime() - 1).toISOString();
        expect([await tasksMade(who, justBefore), await tasksMade(who, due)], number).toEqual([0, 1]);
      }
    } finally {
      await pool.end();
    }
  });

  test('nothing to do, and a dry run', async () => {
    const id = await facility('dry');
    expect(await run('refresh-summaries', 'dry')).toMatchObject({ processed: 0, result: { summariesUpdated: 0 } });
    expect(await run('generate-tasks', 'dry')).toMatchObject({
      status: 'completed',
      processed: 0,
      result: { tasksCreated: 0 },
    });
    await client(id, 'one', { visits: [{ ago: 100 }] });
    expect(await run('generate-tasks', 'dry', { ...FAST, dryRun: true })).toMatchObject({
      result: { tasksCreated: 1, dryRun: true },
    });
    expect(await tasks(id)).toEqual([]);
  });

  test('a dispense that comes while the batch runs is waited for, and its refill is not asked for', async () => {
    const id = await facility('race');
    const who = await client(id, 'one', {
      programme: 'PREP',
      startedAgo: 30,
      visits: [{ ago: 29, kind: 'PREP', supplied: 30 }],
    });
    const other = await engine.store.admin.connect();
    try {
      await other.query('BEGIN');
      await other.query(
        `INSERT INTO clinic.dispenses (tenant_id, client_id, kind, dispensed_at, days_supplied) VALUES ($1, $2, 'PREP', now(), 30)`,
        [id, who],
      );
      const ended = run('generate-tasks', 'race');
      await until('the batch waits for the client', async () => {
        const waiting = await rows(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'`,
        );
        return waiting.length > 0;
      });
      await other.query('COMMIT');
      expect(await ended).toMatchObject({ status: 'completed', processed: 1, result: { tasksCreated: 0 } });
    } finally {
      other.release();
    }
  });

  test('two workers that stop in the middle: the run goes on from its checkpoint, no task is missing or there twice', async () => {
    const id = await facility('handover');
    for (let n = 0; n < 6; n++) await client(id, `K${n}`, { visits: [{ ago: 100 }] });
    const [first] = engine.workers;
    const ended = run('generate-tasks', 'handover', { batchSize: 1, batchDelayMs: 150 });
    await until('the first tasks are there', async () => (await tasks(id)).length > 0);
    await first?.stop(5_000);
    await engine.addWorker();
    expect(await ended).toMatchObject({ status: 'completed', expected: 6, processed: 6, result: { tasksCreated: 6 } });
    expect(await open(id)).toHaveLength(6);
  });
});

describe.each([
  { job: 'refresh-summaries', table: 'clinic.clinical_summaries', done: 'summariesUpdated' },
  { job: 'generate-tasks', table: 'clinic.tasks', done: 'tasksCreated' },
])('$job with its second batch of two held in Postgres', ({ job, table, done }) => {
  async function heldIn(slug: string) {
    const tenant = await facility(slug);
    const clients: string[] = [];
    for (let n = 0; n < 6; n++) clients.push(await client(tenant, `K${n}`, { visits: [{ ago: 100 }] }));
    const when = `NEW.client_id = '${clients.toSorted()[3]}'`;
    const batch = await holdRow(engine.store, { table, event: 'INSERT', when });
    const { id } = await engine.producer.accept(
      { job: `clinic.${job}`, tenant: slug, input: {}, options: { batchSize: 2, batchDelayMs: 0 } },
      'test',
    );
    const pid = await batch.waiting();
    const written = async () => (await rows(`SELECT FROM ${table} WHERE tenant_id = $1`, [tenant])).length;
    return { id, batch, pid, written };
  }
  const ended = async (id: string) => {
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    return findRun(engine.producer.pools, id, null);
  };

  test('cut off, the run goes on from its checkpoint: each is made once', async () => {
    const { id, batch, pid, written } = await heldIn(`cut-${job}`);
    expect(await written()).toBe(2);
    await rows('SELECT pg_terminate_backend($1)', [pid]);
    await batch.waiting();
    expect(await written()).toBe(2);
    await batch.letGo();
    expect(await ended(id)).toMatchObject({ status: 'completed', attempts: 1, processed: 6, result: { [done]: 6 } });
    expect(await written()).toBe(6);
  });

  test('cancelled, it ends after the batch, and the next run makes the rest', async () => {
    const { id, batch, written } = await heldIn(`cancelled-${job}`);
    expect(await engine.producer.cancel(id, 'test', null)).toBe('running');
    await batch.letGo();
    const { status, processed } = await ended(id);
    expect({ status, made: await written() }).toEqual({ status: 'cancelled', made: processed });
    expect([2, 4]).toContain(processed);
    expect(await run(job, `cancelled-${job}`)).toMatchObject({
      status: 'completed',
      result: { [done]: 6 - processed },
    });
    expect(await written()).toBe(6);
  });
});

describe('refresh-summaries', () => {
  test('baselines of the windows, latest results with their dates, current regimens', async () => {
    const id = await facility('baseline');
    const result = (test: 'CD4' | 'VL', drawnAgo: number, value: number, comparator: '=' | '<' = '=') => ({
      test,
      drawnAgo,
      value,
      comparator,
    });
    await client(id, 'a-before', {
      programme: 'ART',
      startedAgo: 200,
      labs: [
        result('CD4', 381, 1),
        result('CD4', 380, 2),
        result('CD4', 200, 3),
        result('CD4', 150, 4),
        result('VL', 380, 90_000),
        result('VL', 15, 20, '<'),
      ],
      visits: [{ ago: 15, supplied: 30, kind: 'ARV', regimen: 'TLD' }],
    });
    await client(id, 'b-after', {
      programme: 'ART',
      startedAgo: 200,
      endedAgo: 10,
      labs: [result('CD4', 110, 5), result('CD4', 120, 6), result('VL', 199, 7)],
      visits: [{ ago: 15, supplied: 30, kind: 'ARV', regimen: 'TLD' }],
    });
    await client(id, 'c-too-late', { programme: 'ART', startedAgo: 200, labs: [result('CD4', 109, 8)] });
    await client(id, 'd-nothing', {});
    await run('refresh-summaries', 'baseline');
    const made = await rows(
      `SELECT c.number, s.baseline_cd4 AS cd4, s.baseline_vl AS vl, s.latest_cd4 AS last_cd4, s.latest_vl_comparator AS sign, s.latest_vl AS last_vl,
              current_date - s.latest_vl_on AS vl_ago, s.vl_status AS status, s.arv_regimen_id IS NOT NULL AS arv
       FROM clinic.clinical_summaries s JOIN clinic.clients c ON c.id = s.client_id WHERE s.tenant_id = $1 ORDER BY 1`,
      [id],
    );
    const none = {
      cd4: null,
      vl: null,
      last_cd4: null,
      sign: null,
      last_vl: null,
      vl_ago: null,
      status: null,
      arv: false,
    };
    expect(made).toEqual([
      {
        number: 'a-before',
        cd4: 3,
        vl: 90_000,
        last_cd4: 4,
        sign: '<',
        last_vl: 20,
        vl_ago: 15,
        status: 'undetectable',
        arv: true,
      },
      {
        number: 'b-after',
        cd4: 6,
        vl: null,
        last_cd4: 5,
        sign: '=',
        last_vl: 7,
        vl_ago: 199,
        status: 'undetectable',
        arv: false,
      },
      { ...none, number: 'c-too-late', last_cd4: 8 },
      { ...none, number: 'd-nothing' },
    ]);
  });
});

test('metrics of a facility: TX_PVLS of the last 12 months to the day, open reviews, overdue refills, of active clients', async () => {
  const id = await facility('metrics');
  const [year] = await rows<{ days: number }>(
    `SELECT current_date - (current_date - interval '12 months')::date AS days`,
  );
  const days = year?.days ?? 0;
  const art = (drawnAgo: number, value: number, more: Partial<NewClient> = {}): NewClient => ({
    programme: 'ART',
    startedAgo: 900,
    labs: [
      { test: 'VL', drawnAgo: 600, value: 90_000 },
      { test: 'VL', drawnAgo, value },
    ],
    ...more,
  });
  await client(id, 'suppressed', art(days, 999));
  await client(id, 'just-not', art(5, 1_000));
  await client(id, 'detected-less', art(5, 30, { visits: [{ ago: 30, kind: 'ARV', supplied: 30 }] }));
  await client(id, 'too-old', art(days + 1, 20, { visits: [{ ago: 31, kind: 'ARV', supplied: 30 }] }));
  await client(id, 'stopped-art', art(5, 20, { endedAgo: 1, visits: [{ ago: 90, kind: 'ARV', supplied: 30 }] }));
  await client(id, 'prep', { programme: 'PREP', startedAgo: 90, visits: [{ ago: 40, kind: 'PREP', supplied: 30 }] });
  await client(id, 'died', art(5, 20, { status: 'died', visits: [{ ago: 90, kind: 'ARV', supplied: 30 }] }));
  await rows(
    `INSERT INTO clinic.tasks (tenant_id, client_id, type, due_on, status)
     SELECT $1, id, 'LTFU_REVIEW', '2026-01-01', CASE number WHEN 'prep' THEN 'open' ELSE 'completed' END
     FROM clinic.clients WHERE tenant_id = $1 AND number IN ('prep', 'suppressed')`,
    [id],
  );
  await rows(`SELECT clinic.refresh_dashboard_view('mv_facility_metrics', now())`);
  expect(await rows('SELECT * FROM clinic.mv_facility_metrics WHERE tenant_id = $1', [id])).toEqual([
    {
      tenant_id: id,
      active_clients: 6,
      on_art: 4,
      on_prep: 1,
      vl_tested: 3,
      vl_suppressed: 2,
      vl_suppressed_percent: '66.7',
      ltfu_open: 1,
      refills_overdue: 2,
    },
  ]);
});

test('a refresh that is cut off keeps that view as it was; cancelled, none of the views after it is refreshed', async () => {
  const [one, two] = [await facility('cancelled-view'), await facility('cut-view')];
  await client(one, 'one');
  const rowsOf = async (id: string, view: string) =>
    (await rows(`SELECT FROM clinic.${view} WHERE tenant_id = $1`, [id])).length;
  const platform = await systemTenant();
  const holder = await engine.store.admin.connect();
  const startAndWait = async () => {
    await holder.query('BEGIN');
    // LOCK TABLE takes no materialized views; a refresh that is rolled back holds the view as long.
    await holder.query('REFRESH MATERIALIZED VIEW CONCURRENTLY clinic.mv_population_counts');
    const { id: runId } = await engine.producer.accept(
      { job: 'clinic.refresh-dashboard', tenant: platform, input: {} },
      'test',
    );
    const pid = await until('the refresh to wait', async () => {
      const found = await rows<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`,
      );
      return found[0]?.pid;
    });
    return { runId, pid };
  };
  try {
    const cancelled = await startAndWait();
    expect(await engine.producer.cancel(cancelled.runId, 'test', null)).toBe('running');
    await holder.query('ROLLBACK');
    await engine.producer.waitFor([cancelled.runId], { timeoutMs: 40_000 });
    expect((await findRun(engine.producer.pools, cancelled.runId, null)).status).toBe('cancelled');
    expect([await rowsOf(one, 'mv_status_counts'), await rowsOf(one, 'mv_facility_metrics')]).toEqual([1, 0]);
    await client(two, 'one');
    const cut = await startAndWait();
    await rows('SELECT pg_terminate_backend($1)', [cut.pid]);
    const attempt = await until('the attempt has failed', async () => {
      const found = await rows<{ message: string }>(
        'SELECT error_message AS message FROM ops.attempts WHERE run_id = $1',
        [cut.runId],
      );
      return found[0];
    });
    expect(attempt.message).toContain('could not refresh mv_population_counts:');
    expect([await rowsOf(two, 'mv_population_counts'), await rowsOf(two, 'mv_facility_metrics')]).toEqual([0, 1]);
    expect(await engine.producer.cancel(cut.runId, 'test', null)).toBe('cancelled');
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
  }
});

test('a view that cannot be refreshed keeps its content; the others are new, and the run is tried again', async () => {
  const id = await facility('broken-view');
  await client(id, 'one');
  // Without its unique index a view cannot be refreshed concurrently.
  await rows('DROP INDEX clinic.mv_status_counts_key');
  const run = await engine.producer.accept(
    { job: 'clinic.refresh-dashboard', tenant: await systemTenant(), input: {} },
    'test',
  );
  const attempt = await until('the first attempt has failed', async () => {
    const found = await rows<{ class: string; message: string }>(
      'SELECT error_class AS class, error_message AS message FROM ops.attempts WHERE run_id = $1',
      [run.id],
    );
    return found[0];
  });
  expect(attempt.class).toBe('ViewsNotRefreshedError');
  expect(attempt.message).toContain('could not refresh mv_status_counts:');
  const seen = (view: string) => rows(`SELECT FROM clinic.${view} WHERE tenant_id = $1`, [id]);
  expect(await seen('mv_status_counts')).toHaveLength(0);
  for (const view of ['mv_population_counts', 'mv_facility_metrics']) expect(await seen(view), view).toHaveLength(1);
  await rows('CREATE UNIQUE INDEX mv_status_counts_key ON clinic.mv_status_counts (tenant_id, status)');
});
