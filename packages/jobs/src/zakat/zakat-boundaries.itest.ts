import { createPool, inTransaction, type Pool } from '@nightshift/db';
import type { SweepContext, SweepJob } from '@nightshift/engine';
import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanupCache } from './cleanup-cache.job.ts';
import { generateReminders } from './generate-reminders.job.ts';
import { regenerateSummaries } from './regenerate-summaries.job.ts';

// Handlers called as the engine calls them, at a `now` of the test's choosing: exact limits, local midnights, changed clocks.

let store: TestStore;
let app: Pool;
let users = 0;

beforeAll(async () => {
  store = await testStore();
  app = createPool({ url: store.databaseUrl, role: 'ns_app', max: 2, name: 'test' });
});
afterAll(async () => {
  await app.end();
  await store.close();
});

interface User {
  readonly id: string;
  readonly zone: string;
}

async function addUser(zone = 'UTC', snapshotDate?: string): Promise<User> {
  const id = await store.addTenant('zakat', `user-${++users}`, zone);
  await store.admin.query('INSERT INTO zakat.users (tenant_id) VALUES ($1)', [id]);
  if (snapshotDate !== undefined) {
    await store.admin.query(
      `INSERT INTO zakat.snapshots (tenant_id, reference, snapshot_date, finalised, currency, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc)
       VALUES ($1, 'S', $2, true, 'EUR', true, 'ns1.k.i.c', 'ns1.k.i.c', 'ns1.k.i.c')`,
      [id, snapshotDate],
    );
  }
  return { id, zone };
}

/** One batch of a job for one user. Resolves to its items, and what processing them changed. */
function batch(job: SweepJob, user: User, now: string, input: unknown = {}, process = true) {
  return inTransaction(app, [user.id], async (client) => {
    const ctx = { client, now: new Date(now), input, tenantIds: [user.id], tenants: [user] };
    const items = await job.items(ctx as unknown as SweepContext<unknown>, null, 100);
    const done = process ? await job.process(ctx as unknown as SweepContext<unknown>, items) : { changed: 0 };
    return { items, ...done };
  });
}

test('an entry of exactly 24 h stays, one microsecond older goes; months, leap days and changed clocks make no difference', async () => {
  // Hours are counted, not days: 29 March 2026 has 23 of them in Berlin.
  for (const [zone, now] of [
    ['UTC', '2026-11-22T02:00:00Z'],
    ['UTC', '2028-03-01T00:00:00Z'],
    ['Europe/Berlin', '2026-03-29T12:00:00Z'],
    ['Europe/Berlin', '2026-10-25T12:00:00Z'],
  ] as const) {
    const user = await addUser(zone);
    await store.admin.query(
      `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
       SELECT $1, at.metric, '2025-01-01', '2025-12-31', 'ns1.k.i.c', $2::timestamptz - interval '24 hours' + at.later::interval
       FROM (VALUES ('older', '-1 microsecond'), ('exactly', '0'), ('newer', '1 microsecond')) AS at(metric, later)`,
      [user.id, now],
    );
    expect(await batch(cleanupCache, user, now, { maxAgeHours: 24 }), now).toMatchObject({ changed: 1 });
    const { rows } = await store.admin.query(
      'SELECT metric FROM zakat.analytics_metrics WHERE tenant_id = $1 ORDER BY computed_at',
      [user.id],
    );
    expect(rows, now).toEqual([{ metric: 'exactly' }, { metric: 'newer' }]);
  }
});

// 1 Ramadan 1445 is 2024-03-11, 1 Ramadan 1446 is 2025-03-01: 30 days before it is 2025-01-30.
test.each([
  ['UTC', '2025-01-29T23:59:59Z', 0],
  ['UTC', '2025-01-30T00:00:00Z', 1],
  ['Asia/Kolkata', '2025-01-29T18:29:59Z', 0],
  ['Asia/Kolkata', '2025-01-29T18:30:00Z', 1],
  ['America/Los_Angeles', '2025-01-30T07:59:59Z', 0],
  ['America/Los_Angeles', '2025-01-30T08:00:00Z', 1],
  // The day of the anniversary counts to its last second, the day after does not.
  ['America/Los_Angeles', '2025-03-02T07:59:59Z', 1],
  ['America/Los_Angeles', '2025-03-02T08:00:00Z', 0],
])('reminders begin at the user’s midnight 30 days ahead: %s at %s', async (zone, now, changed) => {
  const user = await addUser(zone, '2024-03-11');
  expect(await batch(generateReminders, user, now)).toMatchObject({ changed });
});

test('across changed clocks the days left count down by one a day, though a day has 23 or 25 hours', async () => {
  // 1 Ramadan 1444 is 2023-03-23, a lunar year earlier 2022-04-02; Los Angeles changes on 12 March 2023.
  const user = await addUser('America/Los_Angeles', '2022-04-02');
  for (const [now, daysLeft] of [
    ['2023-03-12T07:59:59Z', 12],
    ['2023-03-12T08:00:00Z', 11],
    ['2023-03-13T06:59:59Z', 11],
    ['2023-03-13T07:00:00Z', 10],
  ] as const) {
    await store.admin.query('DELETE FROM zakat.reminder_events WHERE tenant_id = $1', [user.id]);
    await batch(generateReminders, user, now);
    const { rows } = await store.admin.query('SELECT metadata FROM zakat.reminder_events WHERE tenant_id = $1', [
      user.id,
    ]);
    expect(rows, now).toMatchObject([{ metadata: { daysLeft, gregorianDate: '2023-03-23', hijriDate: '1444-09-01' } }]);
  }
});

test('a nightly run some seconds early or late still reminds every 7 days: days of the user are counted', async () => {
  const user = await addUser('UTC', '2024-03-11');
  const nights = ['2025-01-30T03:00:09Z', '2025-02-05T03:00:01Z', '2025-02-06T03:00:00Z', '2025-02-13T02:59:59Z', '2025-03-01T03:00:00Z']; // biome-ignore format: one week a glance
  const made: number[] = [];
  for (const night of nights) made.push((await batch(generateReminders, user, night)).changed);
  expect(made).toEqual([1, 0, 1, 1, 1]);
});

test('a snapshot that changed exactly 7 days ago is looked at again, a microsecond earlier is not', async () => {
  const now = '2026-11-22T04:00:00Z';
  for (const [ago, wanted] of [
    ['7 days', 1],
    ['7 days 0.000001 seconds', 0],
  ] as const) {
    const user = await addUser('UTC', '2025-01-05');
    await store.admin.query(
      `INSERT INTO zakat.annual_summaries (tenant_id, snapshot_id, hijri_year, currency, zakat_due_enc, paid_enc, payments, snapshot_revision)
       SELECT tenant_id, id, 1446, 'EUR', 'ns1.k.i.c', 'ns1.k.i.c', 0, revision FROM zakat.snapshots WHERE tenant_id = $1`,
      [user.id],
    );
    await store.admin.query(
      'UPDATE zakat.snapshots SET changed_at = $2::timestamptz - $3::interval WHERE tenant_id = $1',
      [user.id, now, ago],
    );
    expect((await batch(regenerateSummaries, user, now, {}, false)).items, ago).toHaveLength(wanted);
  }
});
