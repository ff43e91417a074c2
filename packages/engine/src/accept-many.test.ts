import type { Pool } from '@nightshift/db';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { createAccept } from './accept.ts';
import { createCatalogue } from './catalogue.ts';
import { processCrypto } from './crypto/job-crypto.ts';
import { InvalidInputError } from './errors.ts';
import type { JobSettings } from './job-settings.ts';
import type { Tenants } from './tenants.ts';
import { tinyRequest } from './testing/tiny.ts';

// What `acceptMany` says to Postgres, and when: no server is there to answer before it is asked to.

const TENANT = '00000000-0000-7000-8000-00000000000a';
const options = { batchSize: 1, batchDelayMs: 0, timeoutMs: 1_000, dryRun: false };
let heard: string[] = [];

const counted = tinyRequest('counted', {
  input: z.strictObject({
    n: z.int().refine((n) => {
      if (n % 1_000 === 0) heard.push(`prepares ${n}`);
      return n >= 0;
    }),
  }),
  handle: async (_ctx, runs) => runs.map(() => ({ ok: null })),
});

function acceptor(answer: () => Promise<unknown>) {
  heard = [];
  const query = async (text: string | { name: string }) => {
    const name = typeof text === 'string' ? text : text.name;
    heard.push(`sends ${name}`);
    // What is sent leaves with `process.nextTick`.
    process.nextTick(() => heard.push(`${name} leaves`));
    await answer();
    return { rows: [], command: 'COMMIT' };
  };
  const client = { query, on: () => undefined, off: () => undefined, release: () => undefined };
  return createAccept({
    ops: { connect: async () => client, query } as unknown as Pool,
    catalogue: createCatalogue([counted]),
    tenants: { resolve: async () => ({ id: TENANT }) } as unknown as Tenants,
    settings: { effective: async () => options } as unknown as JobSettings,
    crypto: processCrypto(undefined, { query: query as never }),
    wake: () => heard.push('wakes'),
  });
}

const requests = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ job: counted.name, tenant: 'a', input: { n } }));

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('the commit follows the insert without waiting for its answer', async () => {
  let answers: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    answers = resolve;
  });
  const accepted = acceptor(() => answered).acceptMany(requests(3), 'test');
  await turn();
  await turn();
  expect(heard.filter((what) => what.startsWith('sends'))).toEqual([
    'sends BEGIN',
    'sends ns-insert-plain',
    'sends COMMIT',
  ]);
  expect(heard).not.toContain('wakes');
  answers();
  expect(await accepted).toHaveLength(3);
  expect(heard.at(-1)).toBe('wakes');
});

test('each statement has left before the runs of the next are prepared', async () => {
  await acceptor(turn).acceptMany(requests(2_001), 'test');
  expect(heard).toEqual([
    'prepares 0',
    'sends BEGIN',
    'sends ns-insert-plain',
    'BEGIN leaves',
    'ns-insert-plain leaves',
    'prepares 1000',
    'sends ns-insert-plain',
    'ns-insert-plain leaves',
    'prepares 2000',
    'sends ns-insert-plain',
    'sends COMMIT',
    'ns-insert-plain leaves',
    'COMMIT leaves',
    'wakes',
  ]);
});

test('a bad request among the first thousand asks nothing of Postgres', async () => {
  const bad = { job: counted.name, tenant: 'a', input: { n: -1 } };
  const answer = acceptor(async () => undefined).acceptMany([...requests(3), bad], 'test');
  await expect(answer).rejects.toBeInstanceOf(InvalidInputError);
  expect(heard).toEqual(['prepares 0']);
});
