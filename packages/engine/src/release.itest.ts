import { randomUUID } from 'node:crypto';
import { createPool, inTransaction, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Accepted } from './accept.ts';
import { createJobSettings } from './job-settings.ts';
import { findRun, type RunDetail } from './query/index.ts';
import { createClock } from './schedule/clock.ts';
import { fakeClock, type TestEngine, testEngine, until } from './testing/index.ts';
import { tinyTask } from './testing/tiny.ts';

// A call that meets an open run which would not start for a long time: `down` waits for `up`, which has no run, until a day far away; `flaky` has
// failed once and is tried again in an hour.

const HOUR_MS = 3_600_000;

const up = tinyTask('up', { schedule: { cron: '0 2 * * *', zone: 'UTC' }, run: async () => null });
const down = tinyTask('down', {
  schedule: { cron: '0 3 * * *', zone: 'UTC', after: 'tiny.up' },
  run: async () => null,
});
const failed = new Set<string>();
const flaky = tinyTask('flaky', {
  schedule: { cron: '0 2 * * *', zone: 'UTC' },
  retry: { retries: 1, delayMs: HOUR_MS },
  async run(ctx) {
    if (failed.has(ctx.runId)) return null;
    failed.add(ctx.runId);
    throw new Error('not the first time');
  },
});

let engine: TestEngine;
let ops: Pool;
let slug: string;
let tenant: string;
let days = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [up, down, flaky] });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 2, name: 'test' });
  await engine.producer.syncSchedules();
});
beforeEach(async () => {
  // One tenant and one day a test.
  days += 1;
  await sql('UPDATE ops.tenants SET system = $1 WHERE system = $2', ['elsewhere', 'tiny']);
  slug = `t-${randomUUID()}`;
  tenant = await engine.store.addTenant('tiny', slug);
});
afterAll(async () => {
  await ops.end();
  await engine.close();
});

const sql = async <Row extends object>(text: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(text, values)).rows;
const find = (id: string) => findRun(engine.producer.pools, id, null);
const request = (job: string) => ({ job, tenant, input: {} });

const WAYS: Readonly<Record<string, (job: string) => Promise<Pick<Accepted, 'id' | 'joined'>>>> = {
  'a start by hand': (job) => started('manual', job),
  'a drop-in call': (job) => started('drop-in', job),
  accept: (job) => engine.producer.accept(request(job), 'test'),
  'accept with a key': (job) =>
    engine.producer.accept(
      { ...request(job), idempotency: { key: slug, principal: 'ada', bodySha256: Buffer.alloc(32) } },
      'test',
    ),
  async acceptMany(job) {
    const [accepted] = await engine.producer.acceptMany([request(job)], 'test');
    if (accepted === undefined) throw new Error('acceptMany answered nothing');
    return accepted;
  },
  acceptIn: (job) =>
    inTransaction(engine.producer.pools.app, [tenant], (client) =>
      engine.producer.acceptIn(client, request(job), 'test'),
    ),
};
const STARTS = ['a start by hand', 'a drop-in call'];
const ACCEPTS = Object.keys(WAYS).filter((way) => !STARTS.includes(way));

async function started(kind: 'manual' | 'drop-in', job: string): Promise<Pick<Accepted, 'id' | 'joined'>> {
  const { runs } = await engine.producer.start({ kind, job, tenants: [slug] }, 'test');
  const [run] = runs;
  if (run === undefined) throw new Error('start answered nothing');
  return { id: run.runId, joined: run.joined };
}

/** The run joins the open one. */
async function ask(way: string, open: RunDetail): Promise<void> {
  const joined = await WAYS[way]?.(open.job);
  expect(joined).toMatchObject({ id: open.id, joined: true });
}

async function ended(id: string): Promise<RunDetail> {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return find(id);
}

/** A run of `down`, made by its tick. */
async function blocked(): Promise<RunDetail> {
  const due = new Date(Date.UTC(2031, 2, days, 3)).toISOString();
  await sql(`UPDATE ops.schedules SET next_due_at = '2100-01-01'`);
  await sql('UPDATE ops.schedules SET next_due_at = $1 WHERE job = $2', [due, down.name]);
  const clock = createClock({
    ops,
    catalogue: engine.producer.catalogue,
    settings: createJobSettings(ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: false,
    now: fakeClock(due).now,
  });
  await clock.fire();
  await clock.stop();
  const [run] = await sql<{ id: string }>('SELECT id FROM ops.open_runs WHERE tenant_id = $1', [tenant]);
  const found = await find(run?.id ?? '');
  expect(found).toMatchObject({ status: 'blocked', afterJob: up.name });
  return found;
}

/** A run of `flaky` that has failed once. */
async function waitingForItsRetry(): Promise<RunDetail> {
  const { id } = await engine.producer.accept(request(flaky.name), 'test');
  return until('the retry to be scheduled', async () => {
    const run = await find(id);
    return run.status === 'scheduled' ? run : null;
  });
}

const snooze = (id: string) => engine.producer.snooze(id, { forMs: HOUR_MS }, 'test', null);

describe('an open run that is blocked behind the job before it', () => {
  it.each(Object.keys(WAYS))('is released by %s, though that job has not run', async (way) => {
    const open = await blocked();
    await ask(way, open);
    expect(await ended(open.id)).toMatchObject({ status: 'completed', attempts: 1, staleInputs: false });
  });

  it.each(Object.keys(WAYS))('stays blocked at %s when somebody put it off', async (way) => {
    const open = await blocked();
    await snooze(open.id);
    await ask(way, open);
    expect(await find(open.id)).toMatchObject({ status: 'blocked' });
  });
});

describe('an open run that waits for its retry', () => {
  it.each(STARTS)('is tried again at once by %s', async (way) => {
    const open = await waitingForItsRetry();
    await ask(way, open);
    expect(await ended(open.id)).toMatchObject({ status: 'completed', attempts: 2 });
  });

  it.each(ACCEPTS)('keeps its delay at %s', async (way) => {
    const open = await waitingForItsRetry();
    await ask(way, open);
    expect(await find(open.id)).toMatchObject({ status: 'scheduled', dueAt: open.dueAt, attempts: open.attempts });
  });

  it.each(STARTS)('is left alone by %s when somebody put it off', async (way) => {
    const open = await waitingForItsRetry();
    const { dueAt } = await snooze(open.id);
    await ask(way, open);
    expect(await find(open.id)).toMatchObject({ status: 'scheduled', dueAt });
  });
});

it('releases one tenant’s run and leaves another’s', async () => {
  const open = await blocked();
  const other = await engine.store.addTenant('tiny', `${slug}-other`);
  await engine.producer.start({ kind: 'manual', job: down.name, tenants: [other] }, 'test');
  expect(await find(open.id)).toMatchObject({ status: 'blocked' });
});
