import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrl } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { createFieldCrypto, parseKeyring } from '@nightshift/engine/crypto';
import { TEST_ENCRYPTION_KEYS, type TestEngine, type TestStore, testEngine } from '@nightshift/engine/testing';
import { jobs } from '@nightshift/jobs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCaptured } from '../testing/run-captured.ts';

const files = mkdtempSync(join(tmpdir(), 'nightshift-backup-cli-'));
const restoredName = `ns_test_restored_${randomUUID().slice(0, 8)}`;
const FIELD = { place: 'medication.users.name', row: 'u1' };
let engine: TestEngine;
let store: TestStore;
let env: Record<string, string>;
let id: string;
let tenant: string;
let envelope: string;

const nightshift = (...argv: string[]) => runCaptured(argv, env);

beforeAll(async () => {
  vi.stubEnv('BACKUP_ROOT', join(files, 'backups'));
  vi.stubEnv('ENCRYPTION_KEYS', TEST_ENCRYPTION_KEYS);
  engine = await testEngine({ jobs });
  store = engine.store;
  env = {
    DATABASE_URL: store.databaseUrl,
    REDIS_URL: store.redisUrl,
    ADMIN_DATABASE_URL: store.adminUrl,
    NIGHTSHIFT_NS: store.namespace,
    NIGHTSHIFT_HOME: files,
    ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
    BACKUP_ROOT: join(files, 'backups'),
  };
  await seedDemo({ adminUrl: store.adminUrl, gyms: 1, members: 40, days: 30 });
  tenant = await store.addTenant('medication', 'st-anne');
  const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: engine.producer.pools.ops });
  envelope = await crypto.encrypt({ tenantId: tenant, ...FIELD }, 'Ada');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await engine.close();
  const root = new pg.Client({ connectionString: databaseUrl(store.adminUrl, 'postgres') });
  await root.connect();
  await root.query(`DROP DATABASE IF EXISTS ${restoredName} WITH (FORCE)`);
  await root.end();
  rmSync(files, { recursive: true, force: true });
});

test('the job makes a backup, list shows it, verify reads it', async () => {
  expect((await nightshift('backup', 'list')).stdout).toContain('There is no backup yet.');
  const made = await nightshift(
    'run',
    'medication.backup',
    '--input',
    '{"storage_config": {"path": "nightly"}}',
    '--wait',
    '60',
    '--json',
  );
  expect(made.exitCode).toBe(0);
  id = made.json<{ result: { backup_id: string } }>().result.backup_id;
  const listed = await nightshift('backup', 'list', '--json');
  expect(listed.json()).toMatchObject([
    { id, storage: 'local', path: 'nightly', type: 'full', tenant: null, base: null },
  ]);
  expect((await nightshift('backup', 'list')).stdout).toContain('everything');
  const verified = await nightshift('backup', 'verify', id, '--json');
  expect(verified).toMatchObject({ exitCode: 0 });
  expect(verified.json()).toMatchObject({ id, whole: true, chain: [{ id }] });
});

test('restored into a database that was not there, with the tenants’ keys, encrypted fields can be read again', async () => {
  const keys = join(files, 'keys.json');
  writeFileSync(keys, 'old', { mode: 0o644 });
  expect((await nightshift('backup', 'keys', keys, '--json')).json()).toEqual({ file: keys, keys: 1 });
  expect(statSync(keys).mode & 0o777).toBe(0o600);
  for (const key of TEST_ENCRYPTION_KEYS.split(','))
    expect(readFileSync(keys, 'utf8')).not.toContain(key.split(':')[1]);

  const done = await nightshift('backup', 'restore', id, '--database', restoredName, '--keys', keys, '--json');
  expect(done.exitCode).toBe(0);
  expect(done.json()).toMatchObject({ id, chain: [id], database: restoredName, keys: 1 });

  const restored = new pg.Pool({ connectionString: databaseUrl(store.adminUrl, restoredName), max: 1 });
  try {
    const visits = 'SELECT count(*)::int AS n FROM gym.visits';
    expect((await restored.query(visits)).rows).toEqual((await store.admin.query(visits)).rows);
    const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: restored });
    expect(await crypto.decrypt({ tenantId: tenant, ...FIELD }, envelope)).toBe('Ada');
  } finally {
    await restored.end();
  }
  const again = await nightshift('backup', 'restore', id, '--database', restoredName);
  expect(again).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/is not empty: .*gym\.members \(40 rows\)/),
  });
});

test('what cannot be is said in one sentence', async () => {
  expect(await nightshift('backup', 'verify', '20260101T000000Z-full-00000000')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/There is no backup '20260101T000000Z-full-00000000' in local/),
  });
  expect(await nightshift('backup', 'restore', id)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/--database/),
  });
  expect(await nightshift('backup', 'restore', id, '--database', 'x', '--keys', '/nowhere')).toMatchObject({
    exitCode: 2,
  });
  const { ENCRYPTION_KEYS: _, ...without } = env;
  expect(await runCaptured(['backup', 'verify', id], without)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/ENCRYPTION_KEYS is not set/),
  });
  const [data = ''] = readdirSync(join(files, 'backups', 'nightly')).filter((name) => name.endsWith('.nsbackup'));
  const path = join(files, 'backups', 'nightly', data);
  writeFileSync(path, readFileSync(path).subarray(0, -1));
  expect(await nightshift('backup', 'verify', id)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/is damaged/),
  });
  writeFileSync(join(files, 'backups', 'nightly', 'cut-off-manifest.manifest.json'), '{');
  expect(await nightshift('backup', 'list')).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining(id),
    stderr: expect.stringMatching(/'cut-off-manifest' is damaged: its manifest cannot be read/),
  });
});
