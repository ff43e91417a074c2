import { findRun } from '@nightshift/engine/accept';
import { runJob, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobs } from '../index.ts';
import { holdRow } from '../testing/hold-row.ts';

const OPTIONS = { batchSize: 2, batchDelayMs: 0 };
/** Of members, and of coaches with one of them each. */
const COUNT = 6;

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs });
});
afterAll(() => engine.close());

const rows = async <Row extends object>(sql: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(sql, values)).rows;

async function makeGym(slug: string, count = COUNT): Promise<string> {
  const id = await engine.store.addTenant('gym', slug);
  await rows(`INSERT INTO gym.gyms (tenant_id, opened_on) VALUES ($1, '2020-01-01')`, [id]);
  await rows(
    `INSERT INTO gym.members (tenant_id, number, status, joined_on, churn_risk, risk_level)
     SELECT $1, 'M' || n, 'active', current_date - 400, 80, 'CRITICAL' FROM generate_series(1, $2) n`,
    [id, count],
  );
  await rows(`INSERT INTO gym.coaches (tenant_id, number) SELECT $1, 'M' || n FROM generate_series(1, $2) n`, [
    id,
    count,
  ]);
  await rows(
    `INSERT INTO gym.coach_members (tenant_id, coach_id, member_id)
     SELECT $1, c.id, m.id FROM gym.coaches c JOIN gym.members m ON m.tenant_id = c.tenant_id AND m.number = c.number WHERE c.tenant_id = $1`,
    [id],
  );
  await rows(
    `INSERT INTO gym.visits (tenant_id, member_id, visited_at) SELECT $1, id, now() - interval '3 days' FROM gym.members WHERE tenant_id = $1`,
    [id],
  );
  return id;
}

const JOBS = [
  {
    job: 'gym.commitment-scores', table: 'gym.members', event: 'UPDATE', items: 'gym.members', column: 'id',
    written: 'SELECT FROM gym.members WHERE tenant_id = $1 AND commitment_score IS NOT NULL',
  },
  {
    job: 'gym.at-risk-detection', table: 'gym.members', event: 'UPDATE', items: 'gym.members', column: 'id',
    written: 'SELECT FROM gym.members WHERE tenant_id = $1 AND risk_scored_at IS NOT NULL',
  },
  {
    job: 'gym.coach-actions', table: 'gym.coach_actions', event: 'INSERT', items: 'gym.coaches', column: 'coach_id',
    written: 'SELECT FROM gym.coach_actions WHERE tenant_id = $1',
  },
]; // biome-ignore format: a table

describe.each(JOBS)('$job with its second batch of two held in Postgres', (one) => {
  async function held(slug: string) {
    const tenant = await makeGym(slug);
    const [fourth] = await rows<{ id: string }>(
      `SELECT id FROM ${one.items} WHERE tenant_id = $1 ORDER BY id OFFSET 3 LIMIT 1`,
      [tenant],
    );
    const when = `NEW.${one.column} = '${fourth?.id}'`;
    const batch = await holdRow(engine.store, { table: one.table, event: one.event, when });
    const request = { job: one.job, tenant: slug, input: {}, options: OPTIONS };
    const { id } = await engine.producer.accept(request, 'test');
    const pid = await batch.waiting();
    return { id, batch, pid, written: async () => (await rows(one.written, [tenant])).length };
  }
  const ended = async (id: string) => {
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    return findRun(engine.producer.pools, id, null);
  };

  test('cut off, the run goes on from its checkpoint: each is written once', async () => {
    const { id, batch, pid, written } = await held(`cut-${one.job.slice(4)}`);
    expect(await written()).toBe(2);
    await rows('SELECT pg_terminate_backend($1)', [pid]);
    await batch.waiting();
    expect(await written()).toBe(2);
    await batch.letGo();
    expect(await ended(id)).toMatchObject({ status: 'completed', attempts: 1, processed: COUNT, changed: COUNT });
    expect(await written()).toBe(COUNT);
  });

  test('cancelled, it ends after the batch, and the next run does the rest', async () => {
    const slug = `cancelled-${one.job.slice(4)}`;
    const { id, batch, written } = await held(slug);
    expect(await engine.producer.cancel(id, 'test', null)).toBe('running');
    await batch.letGo();
    const { status, processed } = await ended(id);
    expect({ status, done: await written() }).toEqual({ status: 'cancelled', done: processed });
    expect(processed).toBeLessThan(COUNT);
    const next = await runJob(engine, { job: one.job, tenant: slug, input: {}, options: OPTIONS });
    expect(next).toMatchObject({ status: 'completed', processed: COUNT, changed: COUNT - processed });
    expect(await written()).toBe(COUNT);
  });

  test('a gym without anybody: nothing to do', async () => {
    const slug = `empty-${one.job.slice(4)}`;
    await makeGym(slug, 0);
    const run = await runJob(engine, { job: one.job, tenant: slug, input: {}, options: OPTIONS });
    expect(run).toMatchObject({ status: 'completed', expected: 0, processed: 0, changed: 0, failedItems: 0 });
  });
});
