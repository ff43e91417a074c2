import { afterAll, beforeAll, expect, test } from 'vitest';
import { defineJob, type FieldCrypto, type FieldRef } from '../index.ts';
import { runJob, type TestEngine, testEngine } from '../testing/index.ts';
import { addItems, makeTinyTables, tinyRequest, tinySweep, tinyTask } from '../testing/tiny.ts';

// Each job of three kinds that declares both, one, or nothing, and says what its handler could do.

type Declared = { encrypts?: boolean; decrypts?: boolean };
const DECLARED: readonly [string, Declared][] = [
  ['both', { decrypts: true }],
  ['writes', { encrypts: true }],
  ['none', {}],
];

let engine: TestEngine;
let tenant: string;
let envelope: string;
const ref = (): FieldRef => ({ tenantId: tenant, place: 'tiny.items.name_enc', row: 'i001' });

/** Class of the error of each call, or `ok`. */
async function tried(crypto: FieldCrypto): Promise<Record<string, string>> {
  const calls = {
    encrypt: () => crypto.encrypt(ref(), 'x'),
    encryptAll: () => crypto.encryptAll([{ ref: ref(), plain: 'x' }]),
    decrypt: () => crypto.decrypt(ref(), envelope),
    decryptAll: () => crypto.decryptAll([{ ref: ref(), envelope }]),
    prepare: () => crypto.prepare([tenant]),
  };
  const done: Record<string, string> = {};
  for (const [name, call] of Object.entries<() => Promise<unknown>>(calls))
    done[name] = await call().then(
      () => 'ok',
      (error: Error) => error.name,
    );
  return done;
}

let last: Record<string, string> = {};
const jobs = DECLARED.flatMap(([name, declared]) => [
  tinyRequest(`request-${name}`, {
    ...declared,
    handle: async (ctx, runs) => Promise.all(runs.map(async () => ({ ok: await tried(ctx.crypto) }))),
  }),
  tinyTask(`task-${name}`, { ...declared, run: (ctx) => tried(ctx.crypto) }),
  tinySweep(`sweep-${name}`, {
    ...declared,
    async process(ctx, items) {
      last = await tried(ctx.crypto);
      return { changed: items.length };
    },
    summarize: () => last,
  }),
]);

beforeAll(async () => {
  engine = await testEngine({ jobs });
  await makeTinyTables(engine.store);
  tenant = await engine.store.addTenant('tiny', 'a');
  await addItems(engine.store, tenant, 2);
  envelope = await engine.producer.crypto.encrypt(ref(), 'Ada');
});
afterAll(() => engine.close());

const ALL = { encrypt: 'ok', encryptAll: 'ok', decrypt: 'ok', decryptAll: 'ok', prepare: 'ok' };
const REFUSED = { decrypt: 'NoKeyError', decryptAll: 'NoKeyError' };
test.each(['request', 'task', 'sweep'])('a %s holds the keys that it declares, and no more', async (kind) => {
  const result = async (name: string) =>
    (await runJob(engine, { job: `tiny.${kind}-${name}`, tenant, input: {} })).result;
  expect(await result('both')).toMatchObject(ALL);
  expect(await result('writes')).toMatchObject({ ...ALL, ...REFUSED });
  expect(await result('none')).toMatchObject(Object.fromEntries(Object.keys(ALL).map((call) => [call, 'NoKeyError'])));
});

test('a declaration knows both words', () => {
  const declared = jobs.map(({ name, decrypts, encrypts }) => ({ name, decrypts, encrypts }));
  expect(declared).toContainEqual({ name: 'tiny.task-both', decrypts: true, encrypts: undefined });
  // biome-ignore lint/suspicious/noExplicitAny: a wrong word on purpose
  expect(() => defineJob({ ...tinyTask('x', { run: async () => null }), decrypt: true } as any)).toThrow(
    /did you mean 'decrypts'/,
  );
});
