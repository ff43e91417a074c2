import type { Pool } from '@nightshift/db';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createAccept } from './accept.ts';
import { createCatalogue } from './catalogue.ts';
import { processCrypto } from './crypto/job-crypto.ts';
import type { JobSettings } from './job-settings.ts';
import type { Tenants } from './tenants.ts';
import { tinyRequest } from './testing/tiny.ts';

// Postgres hears and says nothing: each flight is lost at the pool's timeout, and nobody may wait for two of them.

const TENANT = '00000000-0000-7000-8000-00000000000a';
const options = { batchSize: 1, batchDelayMs: 0, timeoutMs: 1_000, dryRun: false };
const echo = tinyRequest('echo', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('who waited behind a lost flight is refused with it; who has just come flies', async () => {
  const flights: ((error: Error) => void)[] = [];
  const query = () => new Promise<never>((_, lose) => flights.push(lose));
  const { accept } = createAccept({
    ops: { query } as unknown as Pool,
    catalogue: createCatalogue([echo]),
    tenants: { resolve: async () => ({ id: TENANT }) } as unknown as Tenants,
    settings: { effective: async () => options } as unknown as JobSettings,
    crypto: processCrypto(undefined, { query }),
    wake: () => undefined,
  });
  const refused: string[] = [];
  const post = async (name: string) => {
    accept({ job: 'tiny.echo', tenant: 'a', input: {} }, 'test').catch((error: Error) =>
      refused.push(`${name} ${error.name}`),
    );
    await turn();
    await turn();
  };
  await post('first');
  await post('second');
  expect(flights).toHaveLength(2);
  await post('waiting');
  vi.advanceTimersByTime(2_500);
  await post('late');
  expect(flights).toHaveLength(2);

  flights[0]?.(new Error('Query read timeout'));
  await turn();
  await turn();
  expect(refused).toEqual(['first StoreUnavailableError', 'waiting StoreUnavailableError']);
  expect(flights).toHaveLength(3);
});
