import { createHash, randomUUID } from 'node:crypto';
import { inTransaction } from '@nightshift/db';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { AcceptRequest } from './accept.ts';
import {
  IdempotencyConflictError,
  InvalidInputError,
  StoreUnavailableError,
  UnknownJobError,
  UnknownTenantError,
} from './errors.ts';
import { createProducer } from './producer.ts';
import { findRun } from './query/index.ts';
import { PG_WAKE_CHANNEL } from './redis-names.ts';
import { SYSTEM_SLUG } from './tenants.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest, tinyTask } from './testing/tiny.ts';

const echo = tinyRequest('echo', {
  input: z.strictObject({ text: z.string().optional(), any: z.unknown().optional() }),
  handle: async (_ctx, runs) => runs.map(() => ({ ok: null })),
});
const nightly = tinyTask('nightly', { schedule: { cron: '0 2 * * *', zone: 'UTC' }, run: async () => null });
const wide = tinyTask('wide', { scope: 'system', run: async () => null });

let engine: TestEngine;
let tenant: string;
let slug: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [echo, nightly, wide], workers: 0 });
  await engine.producer.syncSchedules();
});
beforeEach(async () => {
  slug = `t-${randomUUID()}`;
  tenant = await engine.store.addTenant('tiny', slug);
});
afterAll(() => engine.close());

const accept = (more: Partial<AcceptRequest> = {}, actor = 'test') =>
  engine.producer.accept({ job: 'tiny.echo', tenant, input: {}, ...more }, actor);

function key(name: string, body = 'body', principal = 'ada'): AcceptRequest['idempotency'] {
  return { key: name, principal, bodySha256: createHash('sha256').update(body).digest() };
}

async function openRuns(): Promise<{ id: string; state: string; due_at: Date }[]> {
  const { rows } = await engine.store.admin.query(
    'SELECT id, state::text, due_at FROM ops.open_runs WHERE tenant_id = $1',
    [tenant],
  );
  return rows;
}

describe('accept', () => {
  it('leaves a queued run and its audit row', async () => {
    const accepted = await accept({ input: { text: 'x' }, priority: 'CRITICAL' }, 'user:ada');
    expect(accepted).toEqual({ id: expect.any(String), status: 'queued', joined: false, tenantId: tenant });
    const run = await findRun(engine.producer.pools, accepted.id, tenant);
    expect(run).toMatchObject({
      status: 'queued',
      input: { text: 'x' },
      priority: 'CRITICAL',
      actor: 'user:ada',
      attempts: 1,
    });
    const { rows } = await engine.store.admin.query(
      'SELECT tenant_id, actor, action, details FROM ops.audit_log WHERE run_id = $1',
      [accepted.id],
    );
    expect(rows).toEqual([
      { tenant_id: tenant, actor: 'user:ada', action: 'run.accepted', details: { job: 'tiny.echo' } },
    ]);
  });

  it('finds the tenant by its slug, within the system of the job', async () => {
    expect(await accept({ tenant: slug })).toMatchObject({ tenantId: tenant });
    const elsewhere = await engine.store.addTenant('other', slug);
    expect(await accept({ tenant: slug })).toMatchObject({ tenantId: tenant });
    await expect(accept({ tenant: elsewhere })).rejects.toThrow(UnknownTenantError);
  });

  it('shares commits among many that ask at once', async () => {
    const accepted = await Promise.all(Array.from({ length: 200 }, (_, i) => accept({ input: { text: `${i}` } })));
    expect(new Set(accepted.map((a) => a.id)).size).toBe(200);
    const { rows } = await engine.store.admin.query<{ runs: number; transactions: number }>(
      `SELECT count(*)::integer AS runs, count(DISTINCT tx::text)::integer AS transactions FROM ops.audit_log WHERE tenant_id = $1`,
      [tenant],
    );
    expect(rows[0]?.runs).toBe(200);
    expect(rows[0]?.transactions).toBeLessThanOrEqual(10);
  });

  it('schedules what is due later', async () => {
    const dueAt = new Date(Date.now() + 3_600_000);
    expect(await accept({ dueAt })).toMatchObject({ status: 'scheduled' });
    expect(await openRuns()).toEqual([{ id: expect.any(String), state: 'scheduled', due_at: dueAt }]);
  });

  it('runs a system-scope job for the system’s own tenant', async () => {
    const accepted = await accept({ job: 'tiny.wide', tenant: null });
    const { rows } = await engine.store.admin.query('SELECT slug, kind FROM ops.tenants WHERE id = $1', [
      accepted.tenantId,
    ]);
    expect(rows).toEqual([{ slug: SYSTEM_SLUG, kind: 'system' }]);
    await expect(accept({ job: 'tiny.wide' })).rejects.toThrow(UnknownTenantError);
    await expect(accept({ tenant: SYSTEM_SLUG })).rejects.toThrow(UnknownTenantError);
  });

  it('fails one bad row alone, whoever shares its batch', async () => {
    // Postgres refuses a NUL in any text.
    const actors = ['a', 'b', 'bad\u0000', 'c', 'd'];
    const answers = await Promise.allSettled(actors.map((actor) => accept({}, actor)));
    expect(answers.map((answer) => answer.status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    expect(await openRuns()).toHaveLength(4);
  });

  it.each([
    ['an unknown job', { job: 'tiny.ehco' }, UnknownJobError, "Did you mean 'tiny.echo'?"],
    ['an unknown tenant', { tenant: 'nobody' }, UnknownTenantError, "There is no tenant 'nobody' in system 'tiny'."],
    ['no tenant', { tenant: null }, UnknownTenantError, 'none is named'],
    ['a wrong input', { input: { text: 5 } }, InvalidInputError, '/input/text'],
    ['too large an input', { input: { text: 'x'.repeat(65_536) } }, InvalidInputError, 'at most 65536 bytes'],
    ['a NUL', { input: { text: 'a\u0000b' } }, InvalidInputError, 'must not contain NUL'],
    ['a dry run of a request', { options: { dryRun: true } }, InvalidInputError, 'no dry run'],
  ] as const)('refuses %s and leaves nothing', async (_what, wrong, type, message) => {
    const answer = accept(wrong);
    await expect(answer).rejects.toThrow(type);
    await expect(answer).rejects.toThrow(message);
    expect(await openRuns()).toEqual([]);
  });

  it('says that Postgres is away', async () => {
    const away = new URL(engine.store.databaseUrl);
    away.port = '1';
    const producer = createProducer({
      databaseUrl: away.href,
      redisUrl: engine.store.redisUrl,
      catalogue: engine.producer.catalogue,
      log: (await import('pino')).pino({ level: 'silent' }),
    });
    await expect(producer.accept({ job: 'tiny.echo', tenant, input: {} }, 'test')).rejects.toThrow(
      StoreUnavailableError,
    );
    await producer.close();
  });
});

describe('options', () => {
  it('come from the run, then the tenant’s settings, the job’s settings, the declaration; the effective ones are stored', async () => {
    await engine.store.admin.query(
      `INSERT INTO ops.job_settings (job, tenant_id, options, updated_by) VALUES ('tiny.nightly', NULL, '{"batchSize": 2, "timeoutMs": 2000, "batchDelayMs": 2}', 'test'),
         ('tiny.nightly', $1, '{"batchSize": 3, "timeoutMs": 3000}', 'test')`,
      [tenant],
    );
    // Settings are remembered for 2 s: a producer of its own has not read them yet.
    const fresh = await testEngine({ jobs: [nightly], workers: 0, store: engine.store });
    const { id } = await fresh.producer.accept(
      { job: 'tiny.nightly', tenant, input: {}, options: { batchSize: 4 } },
      'test',
    );
    await fresh.close();
    const run = await findRun(engine.producer.pools, id, tenant);
    expect(run.options).toEqual({ batchSize: 4, timeoutMs: 3_000, batchDelayMs: 2, dryRun: false });
  });
});

describe('an idempotency key', () => {
  it('makes one run of fifty equal requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => accept({ idempotency: key('k') })));
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(answers.filter((answer) => !answer.joined)).toHaveLength(1);
    expect(await openRuns()).toHaveLength(1);
    expect((await accept({ idempotency: key('k') })).id).toBe(answers[0]?.id);
  });

  it('makes one run of each of many that two processes ask for in another order', async () => {
    const { admin, databaseUrl, redisUrl, namespace } = engine.store;
    const { catalogue } = engine.producer;
    const second = createProducer({ databaseUrl, redisUrl, namespace, catalogue, log: pino({ level: 'silent' }) });
    const names = Array.from({ length: 21 }, (_, i) => `${slug}-${i}`);
    const ask = (producer: typeof second) => async (name: string) => {
      const { id } = await producer.accept({ job: 'tiny.echo', tenant, input: {}, idempotency: key(name) }, 'test');
      return [name, id] as const;
    };
    const holder = await admin.connect();
    try {
      // Both have taken some keys and wait for this one: taken in the order asked for, each would then wait for the other.
      await holder.query('BEGIN');
      await holder.query(
        `INSERT INTO ops.idempotency_keys (principal, tenant_id, key, body_sha256, run_id) VALUES ('ada', $1, $2, sha256(''), $1)`,
        [tenant, names[10]],
      );
      const answers = Promise.all([
        Promise.all(names.map(ask(engine.producer))),
        Promise.all(names.toReversed().map(ask(second))),
      ]);
      await vi.waitFor(async () => {
        const { rowCount } = await admin.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        expect(rowCount).toBe(2);
      });
      await holder.query('ROLLBACK');
      const [one, other] = await answers;
      expect(new Map(other)).toEqual(new Map(one));
      expect(await openRuns()).toHaveLength(21);
    } finally {
      holder.release();
      await second.close();
    }
  });

  it('refuses another body', async () => {
    await accept({ idempotency: key('k', 'one') });
    const answers = await Promise.allSettled([
      accept({ idempotency: key('k', 'two') }),
      accept({ idempotency: key('fresh') }),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual(['rejected', 'fulfilled']);
    await expect(accept({ idempotency: key('k', 'two') })).rejects.toThrow(IdempotencyConflictError);
    expect(await openRuns()).toHaveLength(2);
  });

  it('belongs to a principal and a tenant', async () => {
    const other = await engine.store.addTenant('tiny', `${slug}-other`);
    const mine = await accept({ idempotency: key('k', 'a') });
    const eves = await accept({ idempotency: key('k', 'b', 'eve') });
    const theirs = await accept({ tenant: other, idempotency: key('k', 'c') });
    expect(new Set([mine.id, eves.id, theirs.id]).size).toBe(3);
  });

  it('answers with the run after it has ended', async () => {
    const { id } = await accept({ idempotency: key('k') });
    await engine.producer.cancel(id, 'test', tenant);
    expect(await accept({ idempotency: key('k') })).toEqual({
      id,
      status: 'cancelled',
      joined: true,
      tenantId: tenant,
    });
  });

  it('and an open run to join are one answer', async () => {
    const first = await accept({ job: 'tiny.nightly' });
    const joined = await accept({ job: 'tiny.nightly', idempotency: key('k') });
    expect(joined).toMatchObject({ id: first.id, joined: true });
    await engine.producer.cancel(first.id, 'test', tenant);
    expect(await accept({ job: 'tiny.nightly', idempotency: key('k') })).toMatchObject({ id: first.id, joined: true });
    expect(await openRuns()).toEqual([]);
  });
});

describe('a scheduled job', () => {
  it('is joined by a second start, also among many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => accept({ job: 'tiny.nightly' })));
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(answers.filter((answer) => !answer.joined)).toHaveLength(1);
  });

  it('is not joined by a dry run', async () => {
    const whole = await accept({ job: 'tiny.nightly' });
    const dry = await accept({ job: 'tiny.nightly', options: { dryRun: true } });
    expect(dry.id).not.toBe(whole.id);
  });

  it('starts for all its tenants under one trigger, or joins what is open', async () => {
    const joined = await accept({ job: 'tiny.nightly' });
    const other = await engine.store.addTenant('tiny', `${slug}-other`);
    const started = await engine.producer.start(
      { kind: 'manual', job: 'tiny.nightly', tenants: [slug, other] },
      'user:ada',
    );
    expect(started.runs).toEqual([
      { tenantId: tenant, tenant: slug, runId: joined.id, joined: true },
      { tenantId: other, tenant: `${slug}-other`, runId: expect.any(String), joined: false },
    ]);
    const { rows } = await engine.store.admin.query(
      'SELECT kind, job, actor, expected_runs, joined_runs FROM ops.triggers WHERE id = $1',
      [started.triggerId],
    );
    expect(rows).toEqual([
      { kind: 'manual', job: 'tiny.nightly', actor: 'user:ada', expected_runs: 2, joined_runs: [joined.id] },
    ]);
  });

  it('starts once for a tenant that is named twice', async () => {
    const started = await engine.producer.start({ kind: 'manual', job: 'tiny.echo', tenants: [slug, tenant] }, 'test');
    expect(started.runs).toHaveLength(1);
    expect(await openRuns()).toHaveLength(1);
  });

  it('starts for none when one of them is unknown', async () => {
    const start = engine.producer.start({ kind: 'manual', job: 'tiny.nightly', tenants: [slug, 'nobody'] }, 'test');
    await expect(start).rejects.toThrow(UnknownTenantError);
    expect(await openRuns()).toEqual([]);
  });
});

describe('acceptIn', () => {
  it('is accepted when the caller commits, and wakes the dispatcher then', async () => {
    const listener = new pg.Client({ connectionString: engine.store.databaseUrl });
    await listener.connect();
    const woken = new Promise<string | undefined>((resolve) => listener.on('notification', (n) => resolve(n.payload)));
    await listener.query(`LISTEN ${PG_WAKE_CHANNEL}`);
    const { id } = await inTransaction(engine.producer.pools.app, [tenant], async (client) => {
      const accepted = await engine.producer.acceptIn(client, { job: 'tiny.echo', tenant, input: {} }, 'test');
      expect(await openRuns()).toEqual([]);
      return accepted;
    });
    expect((await openRuns()).map((run) => run.id)).toEqual([id]);
    expect(await woken).toBe('tiny');
    await listener.end();
  });

  it('is forgotten when the caller rolls back', async () => {
    const work = inTransaction(engine.producer.pools.app, [tenant], async (client) => {
      await engine.producer.acceptIn(client, { job: 'tiny.echo', tenant, input: {}, idempotency: key('k') }, 'test');
      throw new Error('on purpose');
    });
    await expect(work).rejects.toThrow('on purpose');
    expect(await openRuns()).toEqual([]);
    expect(await accept({ idempotency: key('k', 'another body') })).toMatchObject({ joined: false });
  });

  it('accepts for no tenant but the transaction’s own', async () => {
    const other = await engine.store.addTenant('tiny', `${slug}-other`);
    const work = inTransaction(engine.producer.pools.app, [other], (client) =>
      engine.producer.acceptIn(client, { job: 'tiny.echo', tenant, input: {} }, 'test'),
    );
    await expect(work).rejects.toMatchObject({ code: '42501' });
    expect(await openRuns()).toEqual([]);
  });
});
