import { randomUUID } from 'node:crypto';
import { inTransaction } from '@nightshift/db';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import type {
  DefinedJob,
  NewNotification,
  SweepContext,
  SweepJob,
  TaskContext,
  TaskJob,
  TenantRef,
} from '@nightshift/engine';
import { TEST_ENCRYPTION_KEYS, type TestEngine } from '@nightshift/engine/testing';

/** What one pass of a sweep did, at a time of the test's choice. */
export interface Pass {
  readonly expected: number;
  readonly processed: number;
  readonly changed: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly messages: readonly NewNotification[];
  readonly followUps: readonly unknown[];
}

type Row = Readonly<Record<string, unknown>>;

/** A firm of the tests: rows made by column, ids returned. */
export interface TestFirm extends TenantRef {
  readonly crypto: FieldCrypto;
  insert(table: string, row: Row): Promise<string>;
  user(
    code: string,
    more?: { role?: string; email?: string | null; phone?: string | null; active?: boolean },
  ): Promise<string>;
  rows<R extends object>(sql: string, values?: unknown[]): Promise<R[]>;
  /** The job's own functions, batch after batch as ns_app, with `now` as their clock; messages are caught. */
  pass(job: DefinedJob<SweepJob>, now: string | Date, input?: object): Promise<Pass>;
  /** A task's own function as ns_app, with `now` as its clock; messages and alerts go nowhere. Resolves to its summary. */
  once(job: DefinedJob<TaskJob>, now: string | Date, tickDate?: string): Promise<unknown>;
}

export async function testFirm(engine: TestEngine, slug: string, zone = 'Asia/Kolkata'): Promise<TestFirm> {
  const { admin } = engine.store;
  const { rows } = await admin.query<{ id: string }>('SELECT litigation.add_firm($1, $2, $3) AS id', [
    slug,
    slug,
    zone,
  ]);
  const id = rows[0]?.id ?? '';
  const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: admin });
  const insert = async (table: string, row: Row): Promise<string> => {
    const names = Object.keys(row);
    const values = Object.values(row);
    const made = await admin.query<{ id: string }>(
      `INSERT INTO litigation.${table} (tenant_id${names.map((name) => `, ${name}`).join('')}) VALUES ($1${names.map((_, i) => `, $${i + 2}`).join('')}) RETURNING *`,
      [id, ...values],
    );
    return made.rows[0]?.id ?? '';
  };
  const firm: TestFirm = {
    id,
    slug,
    name: slug,
    zone,
    crypto,
    insert,
    async user(code, more = {}) {
      const user = randomUUID();
      const seal = (column: string, plain: string | null) =>
        plain === null ? null : crypto.encrypt({ tenantId: id, place: `litigation.users.${column}`, row: user }, plain);
      return insert('users', {
        id: user,
        code,
        role: more.role ?? 'advocate',
        active: more.active ?? true,
        email_enc: await seal('email_enc', more.email === undefined ? `${code}@example.in` : more.email),
        phone_enc: await seal('phone_enc', more.phone ?? null),
      });
    },
    rows: async <R extends object>(sql: string, values: unknown[] = [id]) => (await admin.query<R>(sql, values)).rows,
    pass: (job, now, input = {}) => runPass(engine, firm, job, new Date(now), input),
    once: (job, now, tickDate) => {
      const ctx = {
        tickDate: tickDate ?? null,
        tenant: firm,
        now: new Date(now),
        dryRun: false,
        crypto,
        alert: async () => undefined,
        resolveAlert: async () => false,
        transaction: <T>(work: (tx: unknown) => Promise<T>) =>
          inTransaction(engine.producer.pools.app, [id], (client) =>
            work({ client, notify: async (messages: readonly unknown[]) => ({ created: messages.length }) }),
          ),
      } as unknown as TaskContext;
      return job.run(ctx, {});
    },
  };
  return firm;
}

const LIMIT = 40;

async function runPass(
  engine: TestEngine,
  firm: TestFirm,
  job: DefinedJob<SweepJob>,
  now: Date,
  input: object,
): Promise<Pass> {
  const messages: NewNotification[] = [];
  const followUps: unknown[] = [];
  const runId = randomUUID();
  const tally: Record<string, number> = {};
  const totals = { expected: 0, processed: 0, changed: 0 };
  for (let after: string | null = null, step = 0; ; step++) {
    const items: readonly unknown[] = await inTransaction(engine.producer.pools.app, [firm.id], async (client) => {
      const ctx = {
        runId,
        tickDate: null,
        input,
        now,
        dryRun: false,
        client,
        crypto: firm.crypto,
        tenants: [firm],
        tenantIds: [firm.id],
        notify: async (made: readonly NewNotification[]) => {
          messages.push(...made);
          return { created: made.length };
        },
        followUp: async (request: { input: unknown }) => void followUps.push(request.input),
      } as unknown as SweepContext<unknown>;
      if (step === 0) totals.expected = (await job.count?.(ctx)) ?? 0;
      const page = await job.items(ctx, after, LIMIT);
      if (page.length === 0) return page;
      const done = await job.process(ctx, page);
      totals.processed += page.length;
      totals.changed += done.changed;
      for (const [name, n] of Object.entries(done.tally ?? {})) tally[name] = (tally[name] ?? 0) + n;
      return page;
    });
    const last = items.at(-1);
    if (last === undefined || (items.length < LIMIT && job.untilEmpty !== true))
      return { ...totals, tally, messages, followUps };
    after = job.key(last);
  }
}
