import { createFieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import { findRun, listFailures } from '@nightshift/engine/accept';
import { runJob, TEST_ENCRYPTION_KEYS, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobs } from '../index.ts';
import { holdRow } from '../testing/hold-row.ts';
import { nextAnniversary } from './anniversary.ts';
import { dayNumber, isoDate } from './hijri.ts';

let engine: TestEngine;
let crypto: ReturnType<typeof createFieldCrypto>;
let users = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs });
  crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: engine.store.admin });
});
beforeEach(() => rows('TRUNCATE zakat.reminder_events, zakat.annual_summaries, zakat.payments, zakat.snapshots'));
afterAll(() => engine.close());

async function rows<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  return (await engine.store.admin.query<Row>(sql, values)).rows;
}
async function row<Row extends object>(sql: string, values: unknown[] = []): Promise<Row> {
  const [first] = await rows<Row>(sql, values);
  if (first === undefined) throw new Error(`no row: ${sql}`);
  return first;
}
const run = (job: string, input: object = {}, options: object = {}) =>
  runJob(engine, { job: `zakat.${job}`, tenant: null, input, options });

async function addUser(zone = 'UTC', dayOffset = 0): Promise<string> {
  const id = await engine.store.addTenant('zakat', `user-${++users}`, zone);
  await rows('INSERT INTO zakat.users (tenant_id, day_offset) VALUES ($1, $2)', [id, dayOffset]);
  return id;
}

async function addSnapshot(
  user: string,
  snapshot: { due?: string; date?: string; finalised?: boolean; reachesNisab?: boolean } = {},
): Promise<string> {
  const { due = '25000', date = '2025-06-01', finalised = true, reachesNisab = true } = snapshot;
  const { id } = await row<{ id: string }>('SELECT gen_random_uuid() AS id');
  const seal = (column: string, plain: string) =>
    crypto.encrypt({ tenantId: user, place: `zakat.snapshots.${column}`, row: id }, plain);
  await rows(
    `INSERT INTO zakat.snapshots (tenant_id, id, reference, snapshot_date, finalised, currency, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc)
     VALUES ($1, $2::uuid, $2::text, $3, $4, 'EUR', $5, $6, $7, $8)`,
    [user, id, date, finalised, reachesNisab, await seal('wealth_enc', '1000000'), await seal('nisab_enc', '500000'), await seal('zakat_due_enc', due)], // biome-ignore format: values
  );
  return id;
}

async function addPayment(user: string, snapshot: string, amount: string): Promise<string> {
  const { id } = await row<{ id: string }>('SELECT gen_random_uuid() AS id');
  const envelope = await crypto.encrypt({ tenantId: user, place: 'zakat.payments.amount_enc', row: id }, amount);
  await rows(
    `INSERT INTO zakat.payments (tenant_id, id, snapshot_id, reference, paid_on, amount_enc) VALUES ($1, $2::uuid, $3, $2::text, '2025-07-01', $4)`,
    [user, id, snapshot, envelope],
  );
  return id;
}

/** The date so many days from today, where the user is. */
const inDays = async (days: number, zone = 'UTC') =>
  (await row<{ day: string }>(`SELECT ((now() AT TIME ZONE $2)::date + $1::int)::text AS day`, [days, zone])).day;

/** A Gregorian date whose Hijri anniversary falls so many days from now: found as the job finds it, by looking. */
async function snapshotDateFor(daysLeft: number, zone = 'UTC'): Promise<string> {
  const today = dayNumber(await inDays(0, zone));
  for (let back = 320; back < 390; back++) {
    if (nextAnniversary(today - back, today, 0).daysLeft === daysLeft) return isoDate(today - back);
  }
  throw new Error(`no snapshot date has its anniversary ${daysLeft} days from now`);
}

describe('zakat.generate-reminders', () => {
  interface Event {
    tenant_id: string;
    priority: string;
    message: string;
    metadata: { snapshotId: string; hijriDate: string; gregorianDate: string; daysLeft: number };
  }
  const events = () => rows<Event>('SELECT * FROM zakat.reminder_events ORDER BY created_at, anniversary_on');

  test('each user with an anniversary within 30 days is reminded once; the same night again changes nothing', async () => {
    expect(await run('generate-reminders')).toMatchObject({ processed: 0, result: { created: 0, skipped: 0 } });
    const days = [0, 7, 8, 14, 15, 29, 31];
    for (const daysLeft of days) await addSnapshot(await addUser(), { date: await snapshotDateFor(daysLeft) });
    await addUser();
    await addSnapshot(await addUser(), { date: await snapshotDateFor(5), finalised: false });
    expect(await run('generate-reminders')).toMatchObject({
      status: 'completed',
      expected: 7,
      processed: 7,
      result: { created: 6, skipped: 0, errors: [], duration: expect.any(Number) },
    });
    const made = await events();
    expect(made.map(({ metadata }) => metadata.daysLeft)).toEqual([0, 7, 8, 14, 15, 29]);
    expect(made.map(({ priority }) => priority)).toEqual(['high', 'high', 'medium', 'medium', 'low', 'low']);
    expect(made[0]?.metadata).toEqual({
      snapshotId: expect.any(String),
      hijriDate: expect.stringMatching(/^14\d\d-\d\d-\d\d$/),
      gregorianDate: await inDays(0),
      daysLeft: 0,
    });
    expect(await run('generate-reminders')).toMatchObject({ result: { created: 0, skipped: 6 } });
    expect(await events()).toEqual(made);
  });

  test('again after 7 days, and not after 6', async () => {
    for (const ago of [6, 7]) {
      const user = await addUser();
      const snapshot = await addSnapshot(user, { date: await snapshotDateFor(3) });
      await rows(
        `INSERT INTO zakat.reminder_events (tenant_id, snapshot_id, anniversary_on, reminded_on, priority, title, message, metadata)
         VALUES ($1, $2, $3, $4, 'medium', 't', 'm', '{}')`,
        [user, snapshot, await inDays(3), await inDays(-ago)],
      );
    }
    expect(await run('generate-reminders')).toMatchObject({ result: { created: 1, skipped: 1 } });
    const made = await rows<{ n: number }>(
      'SELECT count(*)::int AS n FROM zakat.reminder_events GROUP BY tenant_id ORDER BY min(reminded_on)',
    );
    expect(made.map(({ n }) => n)).toEqual([2, 1]);
  });

  test('the latest finalised snapshot counts, and below nisab the text asks to check', async () => {
    const user = await addUser();
    await addSnapshot(user, { date: await snapshotDateFor(2), reachesNisab: false });
    await addSnapshot(user, { date: '2020-01-01' });
    await addSnapshot(user, { date: await inDays(-3), finalised: false });
    await run('generate-reminders');
    const [event] = await events();
    expect(event?.message).toMatch(/check whether/);
    expect(event?.message).not.toMatch(/\bpay\b/);
    await addSnapshot(user, { date: await inDays(-1) });
    await rows('DELETE FROM zakat.reminder_events');
    expect(await run('generate-reminders')).toMatchObject({ processed: 1, result: { created: 0, skipped: 0 } });
  });

  test('today is the user’s: on both sides of the date line the same snapshot has other days left', async () => {
    const zones = ['Pacific/Kiritimati', 'Pacific/Pago_Pago'];
    const date = await snapshotDateFor(10);
    for (const zone of zones) await addSnapshot(await addUser(zone), { date });
    await run('generate-reminders');
    const left = new Map(
      (
        await rows<{ zone: string; left: number; on: string }>(
          `SELECT t.zone, (e.metadata ->> 'daysLeft')::int AS left, e.anniversary_on::text AS on FROM zakat.reminder_events e JOIN ops.tenants t ON t.id = e.tenant_id`,
        )
      ).map((event) => [event.zone, event]),
    );
    const on = await inDays(10);
    for (const zone of zones) {
      const { left: wanted } = await row<{ left: number }>(`SELECT $1::date - (now() AT TIME ZONE $2)::date AS left`, [
        on,
        zone,
      ]);
      expect(left.get(zone), zone).toMatchObject({ left: wanted, on });
    }
    // Kiritimati is 25 hours ahead of Pago Pago: never on the same day.
    expect(left.get('Pacific/Kiritimati')?.left).toBeLessThan(left.get('Pacific/Pago_Pago')?.left ?? 0);
  });

  test('a snapshot beyond the calendar is that user’s error alone', async () => {
    const broken = await addUser();
    await addSnapshot(broken, { date: '2100-01-01' });
    for (let index = 0; index < 5; index++) await addSnapshot(await addUser(), { date: await snapshotDateFor(4) });
    const made = await run('generate-reminders');
    expect(made).toMatchObject({
      status: 'completed_with_item_errors',
      processed: 6,
      failedItems: 1,
      result: { created: 5, skipped: 0, errors: [{ item: broken, error: expect.stringContaining('HijriRangeError') }] },
    });
  });
});

describe('zakat.regenerate-summaries', () => {
  interface Summary {
    payments: number;
    percent: string | null;
    paid: string;
    due: string;
    year: number;
    generated_at: Date;
  }
  async function summaryOf(user: string, snapshot: string): Promise<Summary> {
    const found = await row<Summary & { due_enc: string; paid_enc: string }>(
      `SELECT payments, percent_completed::text AS percent, hijri_year AS year, zakat_due_enc AS due_enc, paid_enc, generated_at
       FROM zakat.annual_summaries WHERE tenant_id = $1 AND snapshot_id = $2`,
      [user, snapshot],
    );
    const open = (column: string, envelope: string) =>
      crypto.decrypt({ tenantId: user, place: `zakat.annual_summaries.${column}`, row: snapshot }, envelope);
    return {
      ...found,
      due: await open('zakat_due_enc', found.due_enc),
      paid: await open('paid_enc', found.paid_enc),
    };
  }

  test('sums payments of each snapshot; a second run changes no byte', async () => {
    const user = await addUser();
    const [half, over, nothing] = [
      await addSnapshot(user, { due: '20000' }),
      await addSnapshot(user, { due: '10000' }),
      await addSnapshot(user, { due: '0', reachesNisab: false, finalised: false }),
    ];
    for (const amount of ['4000', '6000']) await addPayment(user, half, amount);
    await addPayment(user, over, '12500');
    expect(await run('regenerate-summaries')).toMatchObject({
      status: 'completed',
      expected: 3,
      processed: 3,
      result: { regenerated: 3, failed: 0, errors: [], duration: expect.any(Number) },
    });
    expect(await summaryOf(user, half)).toMatchObject({
      due: '20000',
      paid: '10000',
      payments: 2,
      percent: '50.00',
      year: 1446,
    });
    expect(await summaryOf(user, over)).toMatchObject({ paid: '12500', payments: 1, percent: '125.00' });
    expect(await summaryOf(user, nothing)).toMatchObject({ due: '0', paid: '0', payments: 0, percent: null });
    const before = await rows('SELECT * FROM zakat.annual_summaries ORDER BY snapshot_id');
    expect(await run('regenerate-summaries')).toMatchObject({ processed: 3, result: { regenerated: 0, failed: 0 } });
    expect(await rows('SELECT * FROM zakat.annual_summaries ORDER BY snapshot_id')).toEqual(before);
  });

  test('a payment inserted, edited, moved or deleted makes its snapshots’ summaries again, however long ago', async () => {
    const user = await addUser();
    const [one, two] = [await addSnapshot(user), await addSnapshot(user)];
    const payment = await addPayment(user, one, '1000');
    await run('regenerate-summaries');
    const age = () => rows(`UPDATE zakat.snapshots SET changed_at = now() - interval '30 days'`);
    await age();
    expect(await run('regenerate-summaries')).toMatchObject({ expected: 0, result: { regenerated: 0 } });
    const later = async (change: Promise<unknown>, regenerated: number) => {
      await change;
      await age();
      expect(await run('regenerate-summaries')).toMatchObject({ processed: regenerated, result: { regenerated } });
    };
    await later(addPayment(user, one, '500'), 1);
    expect(await summaryOf(user, one)).toMatchObject({ paid: '1500', payments: 2 });
    const envelope = await crypto.encrypt({ tenantId: user, place: 'zakat.payments.amount_enc', row: payment }, '2000');
    await later(rows('UPDATE zakat.payments SET amount_enc = $2 WHERE id = $1', [payment, envelope]), 1);
    expect(await summaryOf(user, one)).toMatchObject({ paid: '2500' });
    await later(rows('UPDATE zakat.payments SET snapshot_id = $2 WHERE id = $1', [payment, two]), 2);
    expect([(await summaryOf(user, one)).paid, (await summaryOf(user, two)).paid]).toEqual(['500', '2000']);
    await later(rows('DELETE FROM zakat.payments WHERE id = $1', [payment]), 1);
    expect(await summaryOf(user, two)).toMatchObject({ paid: '0', payments: 0, percent: '0.00' });
    await later(rows('UPDATE zakat.snapshots SET finalised = NOT finalised WHERE id = $1', [two]), 1);
  });

  test('within 7 days it looks again though nothing says so, and mends a summary that is wrong', async () => {
    const user = await addUser();
    const snapshot = await addSnapshot(user, { due: '1000' });
    await run('regenerate-summaries');
    await rows('UPDATE zakat.annual_summaries SET payments = 9');
    await rows(`UPDATE zakat.snapshots SET changed_at = now() - interval '7 days' - interval '1 second'`);
    expect(await run('regenerate-summaries')).toMatchObject({ expected: 0 });
    await rows(`UPDATE zakat.snapshots SET changed_at = now() - interval '7 days' + interval '10 minutes'`);
    expect(await run('regenerate-summaries')).toMatchObject({ result: { regenerated: 1 } });
    expect(await summaryOf(user, snapshot)).toMatchObject({ payments: 0 });
  });

  test('a changed envelope, one of another row, and one that holds no amount are errors of their snapshot, without the value', async () => {
    const user = await addUser();
    const good = [await addSnapshot(user), await addSnapshot(user), await addSnapshot(await addUser())];
    const moved = await addSnapshot(user);
    await rows('UPDATE zakat.snapshots SET zakat_due_enc = (SELECT zakat_due_enc FROM zakat.snapshots WHERE id = $2) WHERE id = $1', [moved, good[0]]); // biome-ignore format: long
    const words = await addSnapshot(user, { due: 'about 777888' });
    const torn = await addSnapshot(user);
    const payment = await addPayment(user, torn, '100');
    await rows(`UPDATE zakat.payments SET amount_enc = left(amount_enc, -2) || 'AA' WHERE id = $1`, [payment]);
    const made = await run('regenerate-summaries');
    expect(made).toMatchObject({
      status: 'completed_with_item_errors',
      processed: 6,
      failedItems: 3,
      result: { regenerated: 3, failed: 3 },
    });
    const failures = JSON.stringify(await listFailures(engine.producer.pools, made.id, null, { limit: 10 }));
    for (const snapshot of [moved, words, torn]) expect(failures).toContain(snapshot);
    expect(failures).toContain('DecryptionError');
    expect(failures).toContain('BrokenAmountError');
    expect(failures).not.toContain('777888');
  });
});

describe.each([
  { job: 'generate-reminders', table: 'zakat.reminder_events', done: 'created' },
  { job: 'regenerate-summaries', table: 'zakat.annual_summaries', done: 'regenerated' },
])('zakat.$job with its second batch of two held in Postgres', ({ job, table, done }) => {
  async function held() {
    const date = await snapshotDateFor(6);
    const made = await Promise.all(Array.from({ length: 6 }, addUser.bind(null, 'UTC', 0)));
    for (const user of made) await addSnapshot(user, { date });
    const batch = await holdRow(engine.store, {
      table,
      event: 'INSERT',
      when: `NEW.tenant_id = '${made.toSorted()[3]}'`,
    });
    const { id } = await engine.producer.accept(
      { job: `zakat.${job}`, tenant: null, input: {}, options: { batchSize: 2 } },
      'test',
    );
    return { id, batch, pid: await batch.waiting() };
  }
  const written = async () => (await row<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`)).n;
  const ended = async (id: string) => {
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    return findRun(engine.producer.pools, id, null);
  };

  test('cut off, the run goes on from its checkpoint: each is made once', async () => {
    const { id, batch, pid } = await held();
    expect(await written()).toBe(2);
    await rows('SELECT pg_terminate_backend($1)', [pid]);
    await batch.waiting();
    expect(await written()).toBe(2);
    await batch.letGo();
    expect(await ended(id)).toMatchObject({ status: 'completed', attempts: 1, processed: 6, result: { [done]: 6 } });
    expect(await written()).toBe(6);
  });

  test('cancelled, it ends after the batch, and the next run makes the rest', async () => {
    const { id, batch } = await held();
    expect(await engine.producer.cancel(id, 'test', null)).toBe('running');
    await batch.letGo();
    const { status, processed } = await ended(id);
    expect({ status, made: await written() }).toEqual({ status: 'cancelled', made: processed });
    expect([2, 4]).toContain(processed);
    expect(await run(job)).toMatchObject({ status: 'completed', result: { [done]: 6 - processed } });
    expect(await written()).toBe(6);
  });
});
