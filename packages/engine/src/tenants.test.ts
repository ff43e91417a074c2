import type { Pool } from '@nightshift/db';
import { afterEach, expect, it, vi } from 'vitest';
import type { DefinedJob } from './define-job.ts';
import { createTenants } from './tenants.ts';

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

afterEach(() => {
  vi.useRealTimers();
});

/** Every tenant exists but those that are `gone`. */
function counting(gone: readonly string[] = []) {
  let queries = 0;
  let isAway = false;
  const query = async (_text: string, [asked]: [string | string[]]) => {
    queries += 1;
    if (isAway) throw new Error('away');
    const ids = [asked].flat().filter((one) => !gone.includes(one));
    return { rows: ids.map((one) => ({ id: one, slug: one, name: one, zone: 'UTC', system: 'tiny', kind: 'tenant' })) };
  };
  const away = (now: boolean) => {
    isAway = now;
  };
  return { tenants: createTenants({ query } as unknown as Pick<Pool, 'query'>), queries: () => queries, away };
}

it('reads more tenants than it can remember in one query', async () => {
  const { tenants, queries } = counting();
  const [few, many] = [[1, 2, 3].map(id), Array.from({ length: 10_001 }, (_, n) => id(n))];
  await tenants.byIds(few);
  expect((await tenants.byIds(many)).size).toBe(many.length);
  expect(queries()).toBe(2);
});

it('names the tenant that there is not', async () => {
  const { tenants } = counting([id(2)]);
  await expect(tenants.byIds([1, 2, 3].map(id))).rejects.toThrow(id(2));
});

it('reads what ages again while it serves, those of one question together, and nothing sooner', async () => {
  vi.useFakeTimers();
  const { tenants, queries } = counting();
  const some = [1, 2, 3].map(id);
  await tenants.byIds(some);
  await vi.advanceTimersByTimeAsync(4_999);
  await tenants.byIds(some);
  expect(queries()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  await tenants.byIds(some);
  await tenants.byIds(some);
  expect(queries()).toBe(2);
  // Past the time of the first reading, within that of the second.
  await vi.advanceTimersByTimeAsync(5_001 - 2);
  await tenants.byIds(some);
  await tenants.byId(id(1));
  expect(queries()).toBe(2);
});

it('forgets a tenant that is gone when it is read again, and keeps one while Postgres is away', async () => {
  vi.useFakeTimers();
  const gone: string[] = [];
  const { tenants, away } = counting(gone);
  const job = { system: 'tiny', scope: 'tenant' } as DefinedJob;
  const one = () => tenants.resolve(job, id(1));
  await one();
  away(true);
  await vi.advanceTimersByTimeAsync(6_000);
  expect((await one()).id).toBe(id(1));
  away(false);
  await vi.advanceTimersByTimeAsync(4_001);
  expect((await one()).id).toBe(id(1));
  gone.push(id(1));
  await vi.advanceTimersByTimeAsync(6_000);
  expect((await one()).id).toBe(id(1));
  await vi.advanceTimersByTimeAsync(0);
  await expect(one()).rejects.toThrow(id(1));
});
