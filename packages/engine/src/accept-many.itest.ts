import { createHash, randomUUID } from 'node:crypto';
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
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest, tinyTask } from './testing/tiny.ts';

const echo = tinyRequest('echo', {
  input: z.strictObject({ text: z.string().optional() }),
  handle: async (_ctx, runs) => runs.map(() => ({ ok: null })),
});
const nightly = tinyTask('nightly', { schedule: { cron: '0 2 * * *', zone: 'UTC' }, run: async () => null });

let engine: TestEngine;
let tenant: string;
let slug: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [echo, nightly], workers: 0 });
  await engine.producer.syncSchedules();
});
beforeEach(async () => {
  slug = `t-${randomUUID()}`;
  tenant = await engine.store.addTenant('tiny', slug);
});
afterAll(() => engine.close());

function key(name: string, body = 'body'): AcceptRequest['idempotency'] {
  return { key: name, principal: 'ada', bodySha256: createHash('sha256').update(body).digest() };
}

async function openRuns(): Promise<{ id: string; state: string }[]> {
  const { rows } = await engine.store.admin.query('SELECT id, state::text FROM ops.open_runs WHERE tenant_id = $1', [
    tenant,
  ]);
  return rows;
}

describe('acceptMany', () => {
  it('accepts all in order, in one transaction', async () => {
    const requests = Array.from({ length: 2_500 }, (_, i) => ({
      job: 'tiny.echo',
      tenant: slug,
      input: { text: `${i}` },
    }));
    const accepted = await engine.producer.acceptMany(requests, 'test');
    const { rows } = await engine.store.admin.query<{ id: string; text: string; transactions: number }>(
      `SELECT id, input ->> 'text' AS text, count(*) OVER (PARTITION BY xmin::text)::integer AS transactions FROM ops.open_runs WHERE tenant_id = $1`,
      [tenant],
    );
    const texts = new Map(rows.map((row) => [row.id, row.text]));
    expect(accepted.map((run) => texts.get(run.id))).toEqual(requests.map((request) => request.input.text));
    expect(rows.every((row) => row.transactions === 2_500)).toBe(true);
  });

  it('accepts none when one is not valid', async () => {
    const good = { job: 'tiny.echo', tenant: slug, input: {} };
    const many = engine.producer.acceptMany([good, { ...good, input: { unknown: 1 } }], 'test');
    await expect(many).rejects.toBeInstanceOf(InvalidInputError);
    expect(await openRuns()).toEqual([]);
  });

  describe('in several statements', () => {
    const many = (change: (i: number) => Partial<AcceptRequest>): AcceptRequest[] =>
      Array.from({ length: 2_500 }, (_, i) => ({ job: 'tiny.echo', tenant: slug, input: {}, ...change(i) }));

    it.each([
      ['a bad input in the last', { 2499: { input: { text: 5 } } }, InvalidInputError],
      [
        'a bad input before a tenant that is not there',
        { 1500: { input: { text: 5 } }, 2400: { tenant: 'x' } },
        InvalidInputError,
      ],
      [
        'a tenant that is not there before a bad input',
        { 700: { tenant: 'x' }, 1500: { input: { text: 5 } } },
        UnknownTenantError,
      ],
      ['an unknown job in the last', { 2100: { job: 'tiny.ehco' } }, UnknownJobError],
    ] as const)(
      'leaves nothing behind after %s',
      async (_what, changes: Readonly<Record<number, Partial<AcceptRequest>>>, type) => {
        const requests = many((i) => changes[i] ?? {});
        await expect(engine.producer.acceptMany(requests, 'test')).rejects.toBeInstanceOf(type);
        expect(await openRuns()).toEqual([]);
      },
    );

    it('leaves nothing behind when Postgres refuses something in the last', async () => {
      // No text may hold a NUL.
      const requests = many((i) => (i === 2_400 ? { idempotency: key('a\u0000b') } : {}));
      await expect(engine.producer.acceptMany(requests, 'test')).rejects.toMatchObject({ code: '22021' });
      expect(await openRuns()).toEqual([]);
    });

    it('joins keys across them, and refuses another body', async () => {
      const name = `far-${slug}`;
      const keyed = (i: number) => [3, 1_700, 2_400].includes(i);
      const accepted = await engine.producer.acceptMany(
        many((i) => (keyed(i) ? { idempotency: key(name) } : {})),
        'test',
      );
      expect(accepted.map((run) => run.joined)).toEqual(accepted.map((_, i) => i === 1_700 || i === 2_400));
      expect([accepted[1_700]?.id, accepted[2_400]?.id]).toEqual([accepted[3]?.id, accepted[3]?.id]);
      expect(await openRuns()).toHaveLength(2_498);
      const other = many((i) => (i === 2_400 ? { idempotency: key(name, 'another body') } : {}));
      await expect(engine.producer.acceptMany(other, 'test')).rejects.toBeInstanceOf(IdempotencyConflictError);
      expect(await openRuns()).toHaveLength(2_498);
    });

    it('answers with each state, also where jobs and times differ', async () => {
      const dueAt = new Date(Date.now() + 3_600_000);
      const accepted = await engine.producer.acceptMany(
        many((i) => (i % 2 === 1 ? { dueAt } : {})),
        'test',
      );
      expect(accepted.every((run, i) => run.status === (i % 2 === 1 ? 'scheduled' : 'queued'))).toBe(true);
      const states = new Map((await openRuns()).map((run) => [run.id, run.state]));
      expect(accepted.map((run) => run.status)).toEqual(accepted.map((run) => states.get(run.id)));
    });

    it('says that Postgres is away when the connection is lost between them, and leaves nothing', async () => {
      const { admin } = engine.store;
      const holder = await admin.connect();
      try {
        await holder.query('BEGIN; LOCK TABLE ops.open_runs IN EXCLUSIVE MODE');
        const answer = engine.producer.acceptMany(
          many(() => ({})),
          'test',
        );
        const lost = expect(answer).rejects.toBeInstanceOf(StoreUnavailableError);
        await vi.waitFor(async () => {
          const { rowCount } = await admin.query(
            `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'ops.open_runs'::regclass AND NOT granted`,
          );
          expect(rowCount).toBe(1);
        });
        await lost;
      } finally {
        await holder.query('ROLLBACK');
        holder.release();
      }
      expect(await openRuns()).toEqual([]);
      expect(await engine.producer.accept({ job: 'tiny.echo', tenant, input: {} }, 'test')).toMatchObject({
        status: 'queued',
      });
    });
  });

  it('joins another with the same keys, whatever the order of the two', async () => {
    const requests = Array.from({ length: 1_500 }, (_, i) => ({
      job: 'tiny.echo',
      tenant: slug,
      input: {},
      idempotency: key(`${slug}-${i}`),
    }));
    const [one, other] = await Promise.all([
      engine.producer.acceptMany(requests, 'test'),
      engine.producer.acceptMany(requests.toReversed(), 'test'),
    ]);
    expect(other.toReversed().map((run) => run.id)).toEqual(one.map((run) => run.id));
    expect(one.every((run, i) => run.joined !== other.at(-1 - i)?.joined)).toBe(true);
    expect(await openRuns()).toHaveLength(1_500);
  });

  it('joins by key and by open run, also among its own', async () => {
    const keyed = { job: 'tiny.echo', tenant: slug, input: {}, idempotency: key(`many-${slug}`) };
    const scheduled = { job: 'tiny.nightly', tenant: slug, input: {} };
    const [first, second, third, fourth] = await engine.producer.acceptMany(
      [keyed, keyed, scheduled, scheduled],
      'test',
    );
    expect([first?.joined, second?.joined, third?.joined, fourth?.joined]).toEqual([false, true, false, true]);
    expect([second?.id, fourth?.id]).toEqual([first?.id, third?.id]);
  });
});
