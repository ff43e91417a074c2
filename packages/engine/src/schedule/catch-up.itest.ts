import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DefinedJob } from '../define-job.ts';
import { createJobSettings } from '../job-settings.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyTask } from '../testing/tiny.ts';
import { type Clock, createClock } from './clock.ts';

const TENANTS = 200;
const MISSED = 150;
const MINUTE = 60_000;
const NOW = '2026-05-02T12:30:10Z';

const every = tinyTask('every', {
  schedule: { cron: '* * * * *', zone: 'UTC', misfire: { policy: 'all' }, overlap: 'queue' },
  run: async () => ({ result: {} }) as never,
}) as unknown as DefinedJob;

let engine: TestEngine;
let clock: Clock;

beforeAll(async () => {
  engine = await testEngine({ jobs: [every], workers: 0 });
  const { catalogue, pools } = engine.producer;
  clock = createClock({
    ops: pools.ops,
    catalogue,
    settings: createJobSettings(pools.ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: false,
    now: fakeClock(NOW).now,
  });
});
afterAll(async () => {
  await clock.stop();
  await engine.close();
});

async function rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await engine.store.admin.query<T>(text, values)).rows;
}

test('a long stop is caught up in steps that one transaction bears, each instant once for each tenant', async () => {
  await rows(
    `INSERT INTO ops.tenants (id, system, slug, name) SELECT gen_random_uuid(), 'tiny', 't' || n, 't' FROM generate_series(1, $1) AS n`,
    [TENANTS],
  );
  await engine.producer.syncSchedules();
  const latest = Math.floor(Date.parse(NOW) / MINUTE) * MINUTE;
  const instants = Array.from({ length: MISSED }, (_, i) => new Date(latest - (MISSED - 1 - i) * MINUTE));
  await rows('UPDATE ops.schedules SET next_due_at = $1', [instants[0]]);

  expect(await clock.fire()).toBe(1);
  const [first] = await rows<{ n: number }>('SELECT count(*)::int AS n FROM ops.open_runs');
  expect(first?.n).toBe(20_000);
  while ((await clock.fire()) > 0);

  const ticks = await rows<{ due_at: Date; state: string }>('SELECT due_at, state FROM ops.ticks ORDER BY due_at');
  expect(ticks).toEqual(instants.map((due_at) => ({ due_at, state: 'fired' })));
  const made = await rows<{ due_at: Date; runs: number; tenants: number }>(
    `SELECT g.due_at, count(*)::int AS runs, count(DISTINCT r.tenant_id)::int AS tenants
     FROM ops.triggers g JOIN ops.open_runs r ON r.trigger_id = g.id GROUP BY g.id ORDER BY g.due_at`,
  );
  expect(made).toEqual(instants.map((due_at) => ({ due_at, runs: TENANTS, tenants: TENANTS })));
});
