import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { InvalidInputError, PermanentError, UnknownTenantError } from './errors.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { makeTinyTables, tinyTask } from './testing/tiny.ts';

let engine: TestEngine;
let tenant: string;

/** Says whose run it was, and how many tenants it saw in a transaction and in a snapshot. */
const count = (name: string, snapshots: boolean) =>
  tinyTask(name, {
    scope: 'system',
    snapshots,
    input: z.strictObject({ own: z.boolean().default(false) }),
    ofOneTenant: (input: { own: boolean }) => input.own,
    async run(ctx) {
      const own = await ctx.transaction(({ client }) => client.query('SELECT id FROM ops.tenants'));
      const all = await ctx.snapshot(async ({ client, copy }) => {
        const { rows } = await client.query<{ who: string; readonly: string }>(
          `SELECT current_user AS who, current_setting('transaction_read_only') AS readonly`,
        );
        const chunks: Buffer[] = [];
        for await (const chunk of copy(`SELECT slug FROM ops.tenants WHERE system = 'tiny' ORDER BY slug`))
          chunks.push(chunk);
        return { ...rows[0], slugs: Buffer.concat(chunks).toString().trim().split('\n') };
      });
      return { tenant: ctx.tenant.slug, own: own.rows.length, ...all };
    },
  });
const [open, shut] = [count('open', true), count('shut', false)];

beforeAll(async () => {
  engine = await testEngine({ jobs: [open, shut] });
  await makeTinyTables(engine.store);
  tenant = await engine.store.addTenant('tiny', 'a');
  await engine.store.addTenant('tiny', 'b');
});
afterAll(() => engine.close());

test('a run of the system and a run of one tenant, by the same job; a snapshot sees every tenant, read only', async () => {
  const snapshot = { who: 'ns_backup', readonly: 'on', slugs: ['a', 'b', 'system'] };
  const run = (named: string | null, own: boolean) => runJob(engine, { job: open.name, tenant: named, input: { own } });
  expect(await run(null, false)).toMatchObject({ result: { tenant: 'system', own: 1, ...snapshot } });
  expect(await run('a', true)).toMatchObject({ tenantId: tenant, result: { tenant: 'a', own: 1, ...snapshot } });
});

test('a tenant that is named where none belongs, or none where one does, is an error of the input', async () => {
  const accept = (named: string | null, input: object) =>
    engine.producer.accept({ job: open.name, tenant: named, input }, 'test');
  await expect(accept(null, { own: true })).rejects.toThrow(InvalidInputError);
  await expect(accept('a', {})).rejects.toThrow(InvalidInputError);
  await expect(accept('system', { own: true })).rejects.toThrow(UnknownTenantError);
  await expect(accept('nobody', { own: true })).rejects.toThrow(UnknownTenantError);
  await expect(engine.producer.start({ kind: 'manual', job: open.name, input: { own: true } }, 'test')).rejects.toThrow(
    InvalidInputError,
  );
});

test('a job that does not declare snapshots gets none, and fails at once', async () => {
  expect(await runJob(engine, { job: shut.name, tenant: null, input: {} })).toMatchObject({
    status: 'failed',
    attempts: 1,
    errorClass: PermanentError.name,
  });
});
