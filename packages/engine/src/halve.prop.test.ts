import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SqlClient } from './define-job.ts';
import { halve } from './halve.ts';

/** Keeps what was written, with savepoints, as Postgres would. */
function fakeClient() {
  let written: number[] = [];
  const savepoints: number[][] = [];
  const client: SqlClient = {
    async query(statement) {
      const text = String(statement);
      // Nothing is put off to the commit here.
      if (text.startsWith('SAVEPOINT asked')) savepoints.pop();
      else if (text.startsWith('SAVEPOINT')) savepoints.push([...written]);
      else if (text.startsWith('ROLLBACK TO')) written = savepoints.pop() ?? [];
      else savepoints.pop();
      return { rows: [], rowCount: 0 };
    },
  };
  return {
    client,
    write: (items: readonly number[]) => written.push(...items),
    written: () => written,
    open: savepoints,
  };
}

const batch = fc.uniqueArray(fc.nat(500), { minLength: 1, maxLength: 120 });

it('ends with exactly the bad items failed and the others’ effects kept, in few tries', async () => {
  await fc.assert(
    fc.asyncProperty(batch, fc.func(fc.boolean()), async (items, isBad) => {
      const store = fakeClient();
      let tries = 0;
      const halved = await halve(store.client, items, async (part) => {
        tries += 1;
        // Effects of the good ones before the bad one is met: they must be undone.
        for (const item of part) {
          if (isBad(item)) throw new Error(`bad ${item}`);
          store.write([item]);
        }
        return part.length;
      });
      const bad = items.filter((item) => isBad(item));
      const good = items.filter((item) => !isBad(item));
      expect(halved.failed.map((failure) => failure.item)).toEqual(bad);
      expect(halved.failed.map((failure) => (failure.error as Error).message)).toEqual(
        bad.map((item) => `bad ${item}`),
      );
      expect(halved.done.flatMap((part) => part.items)).toEqual(good);
      expect(store.written()).toEqual(good);
      expect(store.open).toHaveLength(0);
      expect(tries).toBeLessThanOrEqual(1 + 2 * bad.length * Math.ceil(Math.log2(Math.max(2, items.length))));
    }),
  );
});

it('ends the whole batch with an error that is not the data’s', async () => {
  const passing = Object.assign(new Error('deadlock'), { code: '40P01' });
  let tries = 0;
  const work = halve(fakeClient().client, [1, 2, 3, 4], async () => {
    tries += 1;
    throw passing;
  });
  await expect(work).rejects.toBe(passing);
  expect(tries).toBe(1);
});
