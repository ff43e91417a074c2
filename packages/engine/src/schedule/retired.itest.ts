import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import type { DefinedJob, ScheduleDeclaration } from '../define-job.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyTask } from '../testing/tiny.ts';

const YEARLY: ScheduleDeclaration = { cron: '0 2 1 1 *', zone: 'UTC' };
const BY_ZONE: ScheduleDeclaration = { ...YEARLY, zone: 'tenant' };

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs: [], workers: 0 });
  await engine.store.addTenant('tiny', 'first');
  await engine.store.addTenant('tiny', 'second', 'America/New_York');
});
afterAll(() => engine.close());

async function rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await engine.store.admin.query<T>(text, values)).rows;
}

/** A worker of another build starts, in which the job is declared like this, or without a schedule. */
async function declare(name: string, schedule?: ScheduleDeclaration, more: object = {}): Promise<void> {
  const job = tinyTask(name, {
    ...(schedule === undefined ? {} : { schedule }),
    ...more,
    run: async () => ({ result: {} }) as never,
  }) as unknown as DefinedJob;
  const other = await testEngine({ jobs: [job], workers: 0, store: engine.store });
  await other.producer.syncSchedules().finally(() => other.close());
}

/** The builds that declared it are gone: nobody confirms it any more. */
const unconfirmed = (job: string) =>
  rows(`UPDATE ops.schedules SET declared_at = clock_timestamp() - interval '5 minutes' WHERE job = $1`, [job]);
const schedulesOf = (job: string) =>
  rows<{ id: string; tenant_zone: string | null; enabled: boolean; version: number; next_due_at: Date }>(
    'SELECT * FROM ops.schedules WHERE job = $1 ORDER BY tenant_zone',
    [job],
  );
/** Zones that the job is fired for; null: one for all. */
const inForce = async (job: string) =>
  (await schedulesOf(job)).filter((one) => one.enabled).map((one) => one.tenant_zone);

test('a job that moves to its tenants’ zones leaves its one schedule for all, and back again', async () => {
  await declare('moved', YEARLY);
  expect(await inForce('tiny.moved')).toEqual([null]);
  await unconfirmed('tiny.moved');
  await declare('moved', BY_ZONE);
  expect(await inForce('tiny.moved')).toEqual(['America/New_York', 'UTC']);
  await unconfirmed('tiny.moved');
  await declare('moved', YEARLY);
  expect(await inForce('tiny.moved')).toEqual([null]);
});

test('what a worker still confirms stays in force', async () => {
  await declare('shared', YEARLY);
  await declare('shared');
  expect(await inForce('tiny.shared')).toEqual([null]);
});

test('what an operator has edited stays in force, though it is declared no more', async () => {
  await declare('edited', YEARLY);
  await rows(`UPDATE ops.schedules SET edited = true WHERE job = 'tiny.edited'`);
  await unconfirmed('tiny.edited');
  await declare('edited');
  expect(await inForce('tiny.edited')).toEqual([null]);
});

test('a job that is declared without a schedule is fired for the last time for what was due, until it has one again', async () => {
  await declare('adhoc', YEARLY);
  await unconfirmed('tiny.adhoc');
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '1 second' WHERE job = 'tiny.adhoc'`);
  await declare('adhoc');
  expect(await inForce('tiny.adhoc')).toEqual([]);
  const ticks = () => rows<{ state: string }>(`SELECT state FROM ops.ticks WHERE job = 'tiny.adhoc'`);
  expect(await ticks()).toEqual([{ state: 'fired' }]);

  // Rolled back days later: nothing was due meanwhile.
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '3 days' WHERE job = 'tiny.adhoc'`);
  await declare('adhoc', YEARLY);
  const [back] = await schedulesOf('tiny.adhoc');
  expect(back).toMatchObject({ enabled: true, version: 3 });
  expect(back?.next_due_at.getTime()).toBeGreaterThan(Date.now());
  expect(await ticks()).toHaveLength(1);
});

test('a job that has no schedule any more and needs an input is retired, though what was due cannot be fired', async () => {
  await declare('needy', YEARLY);
  await unconfirmed('tiny.needy');
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '1 minute' WHERE job = 'tiny.needy'`);
  await declare('needy', undefined, { input: z.object({ what: z.string() }) });
  expect(await inForce('tiny.needy')).toEqual([]);
});

test('one tenant with a time zone that is none is told, and keeps no worker from starting', async () => {
  await engine.store.addTenant('tiny', 'lost', 'Asia/Calcuta');
  await engine.store.addTenant('tiny', 'fine', 'Europe/Oslo');
  await declare('zoned', BY_ZONE);
  expect(await inForce('tiny.zoned')).toEqual(['America/New_York', 'Europe/Oslo', 'UTC']);
  expect(await rows('SELECT key, severity, state FROM ops.alerts')).toEqual([
    { key: 'tenant-zone:tiny:Asia/Calcuta', severity: 'CRITICAL', state: 'open' },
  ]);
});
