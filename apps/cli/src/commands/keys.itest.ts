import { randomBytes } from 'node:crypto';
import { createPool, type Pool } from '@nightshift/db';
import { createFieldCrypto, DecryptionError, parseKeyring, type TenantKeyView } from '@nightshift/engine/crypto';
import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from '../testing/run-captured.ts';

const OLD = `old:${randomBytes(32).toString('base64')}`;
const NEW = `new:${randomBytes(32).toString('base64')}`;

let store: TestStore;
let ops: Pool;
let tenant: string;
let other: string;
beforeAll(async () => {
  store = await testStore();
  ops = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 2, name: 'test-ops' });
  tenant = await store.addTenant('zakat', 'amana');
  other = await store.addTenant('zakat', 'baraka');
});
afterAll(async () => {
  await ops.end();
  await store.close();
});

const nightshift = (argv: readonly string[], keys: string | null) =>
  runCaptured(argv, {
    DATABASE_URL: store.databaseUrl,
    REDIS_URL: store.redisUrl,
    NIGHTSHIFT_NS: store.namespace,
    ...(keys === null ? {} : { ENCRYPTION_KEYS: keys }),
  });
const crypto = (keys: string) => createFieldCrypto({ keyring: parseKeyring(keys), pool: ops });
const ref = (tenantId: string) => ({ tenantId, place: 'zakat.snapshots.nisab_enc', row: '1' });

test('keys are listed, rotated and forgotten, and every change is on record', async () => {
  expect((await nightshift(['keys', 'list'], OLD)).stdout).toContain('No tenant has encrypted anything yet.');
  const [mine = '', theirs = ''] = await crypto(OLD).encryptAll(
    [tenant, other].map((id) => ({ ref: ref(id), plain: '4711' })),
  );

  const listed = await nightshift(['keys', 'list'], NEW);
  expect(listed.stdout).toMatch(/zakat\/amana +active +old \(missing here\)/);
  expect(listed.stdout).toMatch(/zakat\/baraka/);

  const rotated = await nightshift(['keys', 'rotate', '--json'], `${NEW},${OLD}`);
  expect(rotated.json()).toEqual({ masterKey: 'new', rewrapped: 2, retired: 0 });
  expect(await crypto(NEW).decrypt(ref(tenant), mine)).toBe('4711');

  const renewed = await nightshift(['keys', 'rotate', '--data', '--tenant', 'amana', '--json'], NEW);
  expect(renewed.json()).toEqual({ masterKey: 'new', rewrapped: 0, retired: 1 });
  await crypto(NEW).encrypt(ref(tenant), '1');
  const keys = (await nightshift(['keys', 'list', '--tenant', 'amana', '--json'], NEW)).json<TenantKeyView[]>();
  expect(keys.map((key) => [key.tenant, key.state, key.masterKeyId])).toEqual([
    ['amana', 'retired', 'new'],
    ['amana', 'active', 'new'],
  ]);
  expect(JSON.stringify(keys)).not.toContain('wrapped"');

  const asked = await nightshift(['keys', 'forget', 'amana'], NEW);
  expect(asked).toMatchObject({ exitCode: 2 });
  expect(asked.stderr).toContain('zakat/amana');
  expect((await nightshift(['keys', 'forget', 'amana', '--yes', '--json'], NEW)).json()).toEqual({ forgotten: 2 });
  await expect(crypto(NEW).decrypt(ref(tenant), mine)).rejects.toThrow(DecryptionError);
  expect(await crypto(NEW).decrypt(ref(other), theirs)).toBe('4711');

  const audit = await store.admin.query(
    `SELECT action FROM ops.audit_log WHERE action LIKE 'tenant-key%' AND actor LIKE 'cli:%' ORDER BY seq`,
  );
  expect(audit.rows.map((row) => row.action)).toEqual([
    'tenant-keys.rewrapped',
    'tenant-keys.rewrapped',
    'tenant-keys.retired',
    'tenant-key.forgotten',
  ]);
});

test.each<[string, readonly string[], string | null, RegExp]>([
  ['without keys', ['keys', 'rotate'], null, /Set ENCRYPTION_KEYS/],
  ['with a key of the wrong length', ['keys', 'rotate'], 'a:c2hvcnQ=', /key 'a' has 5 bytes and needs 32/],
  ['a tenant without --data', ['keys', 'rotate', '--tenant', 'amana'], OLD, /--tenant goes with --data/],
  ['a tenant that is none', ['keys', 'forget', 'nobody', '--yes'], OLD, /There is no tenant 'nobody'/],
])('%s is refused in one sentence', async (_name, argv, keys, expected) => {
  const refused = await nightshift(argv, keys);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stderr).toMatch(expected);
  expect(refused.stderr).not.toMatch(/c2hvcnQ|at .*\.ts/);
});
