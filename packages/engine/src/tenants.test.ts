import type { Pool } from '@nightshift/db';
import { expect, it } from 'vitest';
import { createTenants } from './tenants.ts';

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Every tenant exists but those that are `gone`. */
function counting(gone: readonly string[] = []) {
  let queries = 0;
  const query = async (_text: string, [asked]: [string | string[]]) => {
    queries += 1;
    const ids = [asked].flat().filter((one) => !gone.includes(one));
    return { rows: ids.map((one) => ({ id: one, slug: one, name: one, zone: 'UTC', system: 'tiny', kind: 'tenant' })) };
  };
  return { tenants: createTenants({ query } as unknown as Pick<Pool, 'query'>), queries: () => queries };
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
