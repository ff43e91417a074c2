import { afterAll, beforeAll, expect, it } from 'vitest';
import { DeclarationError } from './errors.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyTask } from './testing/tiny.ts';

const job = tinyTask('idle', { run: async () => null });
const PASSWORD = 'of-the-test';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  for (const [role, right] of [
    ['engine_test_super', 'SUPERUSER'],
    ['engine_test_bypass', 'BYPASSRLS'],
  ]) {
    await engine.store.admin.query(`DROP ROLE IF EXISTS ${role}`);
    await engine.store.admin.query(`CREATE ROLE ${role} LOGIN ${right} PASSWORD '${PASSWORD}'`);
    await engine.store.admin.query(`GRANT ns_app, ns_ops TO ${role}`);
  }
});
afterAll(async () => {
  await engine.store.admin.query('DROP ROLE engine_test_super, engine_test_bypass');
  await engine.close();
});

function loginAs(role: string): string {
  const url = new URL(engine.store.databaseUrl);
  url.username = role;
  url.password = PASSWORD;
  return url.href;
}

it.each(['engine_test_super', 'engine_test_bypass'])(
  'a worker that must not refuses the login %s and says why',
  async (role) => {
    const start = engine.addWorker({ databaseUrl: loginAs(role), refuseUnsafeLogin: true });
    await expect(start).rejects.toThrow(DeclarationError);
    await expect(start).rejects.toThrow(
      /The worker cannot start:\n {2}- DATABASE_URL logs in as a role that row-level/,
    );
  },
);

it('it starts with the login of the platform, and where it may with any', async () => {
  await (await engine.addWorker({ refuseUnsafeLogin: true })).stop(1_000);
  await (await engine.addWorker({ databaseUrl: loginAs('engine_test_super') })).stop(1_000);
});
