import { createFieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import type { DefinedJob, SweepContext, SweepJob } from '@nightshift/engine';
import { runJob, TEST_ENCRYPTION_KEYS, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobs } from '../index.ts';

type Sweep = DefinedJob<SweepJob>;
type Context = SweepContext<unknown>;

/** What each zakat job's handler came to see of keys. */
const reads = new Map<string, string>();
const writes = new Map<string, string>();
/** Users whose amounts were opened together, call by call, and how many calls were open at once. */
const opened: string[][] = [];
let open = 0;
let mostOpen = 0;

let engine: TestEngine;
const ours: string[] = [];
const DUE = '7391846205';
const PAID = '1112223334';

/** The job as it is declared, its handler looked at from inside. */
function watched(job: Sweep): Sweep {
  return {
    ...job,
    async process(ctx: Context, items) {
      const [ref] = await sealedDue(ctx);
      reads.set(job.name, await outcome(ctx.crypto.decryptAll(ref === undefined ? [] : [ref])));
      writes.set(
        job.name,
        await outcome(ctx.crypto.encrypt({ tenantId: ours[0] ?? '', place: 'zakat.x.y', row: '1' }, 'x')),
      );
      const crypto = {
        ...ctx.crypto,
        async decryptAll(all: Parameters<typeof ctx.crypto.decryptAll>[0]) {
          opened.push([...new Set(all.map(({ ref }) => ref.tenantId))]);
          mostOpen = Math.max(mostOpen, ++open);
          const plain = await ctx.crypto.decryptAll(all);
          open--;
          return plain;
        },
      };
      return job.process(Object.create(ctx, { crypto: { value: crypto } }) as Context, items);
    },
  };
}

async function sealedDue(ctx: Context) {
  const { rows } = await ctx.client.query<{ tenant_id: string; id: string; zakat_due_enc: string }>(
    'SELECT tenant_id, id, zakat_due_enc FROM zakat.snapshots WHERE tenant_id = ANY ($1) LIMIT 1',
    [ctx.tenantIds],
  );
  return rows.map((row) => ({
    ref: { tenantId: row.tenant_id, place: 'zakat.snapshots.zakat_due_enc', row: row.id },
    envelope: row.zakat_due_enc,
  }));
}

const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: Error) => error.name,
  );

beforeAll(async () => {
  const zakat = jobs.filter((job) => job.system === 'zakat') as Sweep[];
  engine = await testEngine({ jobs: zakat.map(watched) });
  const { admin } = engine.store;
  const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: admin });
  for (let index = 0; index < 4; index++) {
    const user = await engine.store.addTenant('zakat', `user-${index}`);
    ours.push(user);
    await admin.query('INSERT INTO zakat.users (tenant_id) VALUES ($1)', [user]);
    for (const date of ['2025-01-05', '2024-01-05']) {
      const { rows } = await admin.query<{ snapshot: string; payment: string }>(
        'SELECT gen_random_uuid() AS snapshot, gen_random_uuid() AS payment',
      );
      const { snapshot = '', payment = '' } = rows[0] ?? {};
      const seal = (place: string, row: string, plain: string) =>
        crypto.encrypt({ tenantId: user, place: `zakat.${place}`, row }, plain);
      const due = await seal('snapshots.zakat_due_enc', snapshot, DUE);
      await admin.query(
        `INSERT INTO zakat.snapshots (tenant_id, id, reference, snapshot_date, finalised, currency, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc)
         VALUES ($1, $2::uuid, $2::text, $3, true, 'EUR', true, $4, $4, $4)`,
        [user, snapshot, date, due],
      );
      await admin.query(
        `INSERT INTO zakat.payments (tenant_id, id, snapshot_id, reference, paid_on, amount_enc) VALUES ($1, $2::uuid, $3, $2::text, '2025-07-01', $4)`,
        [user, payment, snapshot, await seal('payments.amount_enc', payment, PAID)],
      );
    }
    await admin.query(
      `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
       VALUES ($1, 'm', '2025-01-01', '2025-12-31', 'ns1.k.i.c', now() - interval '2 days')`,
      [user],
    );
  }
  for (const job of zakat) {
    const ended = await runJob(engine, { job: job.name, tenant: null, input: {}, options: {} });
    expect(ended, job.name).toMatchObject({ status: 'completed', failedItems: 0 });
  }
});
afterAll(() => engine.close());

test('only regenerate-summaries holds a key; the other two cannot read, nor write, an amount', () => {
  expect(Object.fromEntries(reads)).toEqual({
    'zakat.cleanup-cache': 'NoKeyError',
    'zakat.generate-reminders': 'NoKeyError',
    'zakat.regenerate-summaries': 'done',
  });
  expect(Object.fromEntries(writes)).toEqual({
    'zakat.cleanup-cache': 'NoKeyError',
    'zakat.generate-reminders': 'NoKeyError',
    'zakat.regenerate-summaries': 'done',
  });
});

test('one user’s amounts are opened at a time', () => {
  expect(opened.map((users) => users.length)).toEqual(ours.map(() => 1));
  expect(opened.flat().sort()).toEqual([...ours].sort());
  expect(mostOpen).toBe(1);
});

test('no amount stands in the clear in any table', async () => {
  const { admin } = engine.store;
  const tables = await admin.query<{ name: string }>(
    `SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('zakat', 'ops')`,
  );
  expect(tables.rows.length).toBeGreaterThan(20);
  const holding: string[] = [];
  for (const { name } of tables.rows) {
    const found = await admin.query(`SELECT 1 FROM ${name} AS t WHERE t::text LIKE $1 OR t::text LIKE $2 LIMIT 1`, [
      `%${DUE}%`,
      `%${PAID}%`,
    ]);
    if (found.rowCount !== 0) holding.push(name);
  }
  expect(holding).toEqual([]);
  const { rows } = await admin.query<{ n: number }>('SELECT count(*)::int AS n FROM zakat.annual_summaries');
  expect(rows).toEqual([{ n: 8 }]);
});
