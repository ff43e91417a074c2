import { afterAll, beforeAll, expect, it } from 'vitest';
import { OPEN_STATES, RUN_OUTCOMES } from './run-status.ts';
import { type TestStore, testStore } from './testing/index.ts';

let store: TestStore;
beforeAll(async () => {
  store = await testStore();
});
afterAll(() => store.close());

it('has the words that the database takes; `dispatched` is what it says of a queued run', async () => {
  const { rows } = await store.admin.query<{ name: string; check: string }>(
    `SELECT conname AS name, pg_get_constraintdef(oid) AS check FROM pg_constraint WHERE conname IN ('open_runs_state', 'runs_outcome') AND conparentid = 0`,
  );
  const words = Object.fromEntries(
    rows.map(({ name, check }) => [name, [...check.matchAll(/'(\w+)'/g)].map((m) => m[1])]),
  );
  const stored = OPEN_STATES.filter((state) => state !== 'dispatched');
  expect(words).toEqual({ open_runs_state: stored, runs_outcome: [...RUN_OUTCOMES] });
});
