import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { type BackupSettings, backupSettings, listBackups, verifyBackup } from '@nightshift/backup';
import { InvalidInputError, type RunOptions } from '@nightshift/engine';
import { findRun } from '@nightshift/engine/accept';
import { runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { backupJob } from './backup.job.ts';

const root = mkdtempSync(join(tmpdir(), 'nightshift-backup-job-'));
const settings = backupSettings({ BACKUP_ROOT: root, ENCRYPTION_KEYS: `k:${randomBytes(32).toString('base64')}` });
let place: BackupSettings['storage'] = settings.storage;
const job = backupJob(() => ({ ...settings, storage: (type, path) => place(type, path) }));
let engine: TestEngine;
let clinic: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [job] });
  clinic = await engine.store.addTenant('medication', 'st-anne');
  await engine.store.addTenant('medication', 'other');
});
afterAll(async () => {
  await engine.close();
  rmSync(root, { recursive: true, force: true });
});
afterEach(async () => {
  for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true, force: true });
  await engine.store.admin.query('DELETE FROM medication.backups');
});

const run = (input: object, tenant: string | null = null, options: Partial<RunOptions> = {}) =>
  runJob(engine, { job: job.name, tenant, input, options });
const registered = async () =>
  (
    await engine.store.admin.query(
      'SELECT id, backup_type, base_id, tenant_id, rows, run_id FROM medication.backups ORDER BY taken_at',
    )
  ).rows;

test('the nightly run saves everything, registers it, and says what it did; a second run makes another', async () => {
  const first = await run({});
  expect(first).toMatchObject({
    status: 'completed',
    result: {
      backup_type: 'full',
      base: null,
      storage: { type: 'local', path: '' },
      errors: [],
      duration: expect.any(Number),
    },
  });
  const second = await run({});
  const listed = await listBackups(settings, 'local');
  expect(listed.map((one) => one.id)).toEqual(
    [first, second].map((one) => (one.result as { backup_id: string }).backup_id),
  );
  expect(await registered()).toMatchObject([
    { id: listed[0]?.id, run_id: first.id, backup_type: 'full' },
    { id: listed[1]?.id, run_id: second.id },
  ]);
});

test('incremental: refused at once while there is nothing to continue, then continues the newest', async () => {
  const input = { backup_type: 'incremental', storage_config: { type: 'local', path: 'nightly' } };
  expect(await run(input)).toMatchObject({ status: 'failed', attempts: 1, errorClass: 'NoBaseError' });
  await run({ storage_config: { path: 'nightly' } });
  const first = await run(input);
  const second = await run(input);
  expect(second).toMatchObject({
    status: 'completed',
    result: { base: (first.result as { backup_id: string }).backup_id },
  });
  const verified = await verifyBackup(
    await settings.storage('local', 'nightly'),
    settings.keyring(),
    (second.result as { backup_id: string }).backup_id,
  );
  expect(verified).toHaveLength(3);
});

test('an organisation’s backup is its own: rows, place, and line in the registry', async () => {
  const done = await run({ backup_type: 'tenant', storage_config: { type: 'local', path: 'mine' } }, 'st-anne');
  expect(done).toMatchObject({
    status: 'completed',
    tenantId: clinic,
    result: { storage: { path: `tenants/${clinic}/mine` } },
  });
  expect(await listBackups(settings, 'local')).toMatchObject([{ tenant: 'st-anne', type: 'tenant' }]);
  expect(await registered()).toMatchObject([{ tenant_id: clinic, backup_type: 'tenant' }]);
});

test('whose run it is follows from its type', async () => {
  await expect(run({ backup_type: 'tenant' })).rejects.toThrow(/one tenant’s: name it/);
  await expect(run({ backup_type: 'full' }, 'st-anne')).rejects.toThrow(/name no tenant/);
  await expect(run({}, 'st-anne')).rejects.toThrow(InvalidInputError);
});

test.each([
  ['another type', { backup_type: 'differential' }],
  ['another storage', { storage_config: { type: 'ftp' } }],
  ['a way out', { storage_config: { type: 'local', path: '../x' } }],
  ['an absolute path', { storage_config: { type: 'local', path: '/etc' } }],
  ['an unknown field', { compress: false }],
])('%s is refused before anything is stored', async (_name, input) => {
  await expect(run(input)).rejects.toThrow(InvalidInputError);
});

test('it changes the outside world, so it has no dry run', async () => {
  await expect(run({}, null, { dryRun: true })).rejects.toThrow(/no dry run/);
});

test('storage that is not set up fails the run at once, naming the variable', async () => {
  expect(await run({ storage_config: { type: 's3' } })).toMatchObject({
    status: 'failed',
    attempts: 1,
    errorClass: 'BackupSettingsError',
    errorMessage: expect.stringMatching(/S3_BUCKET/),
  });
});

test('cancelled in the middle of writing, it stops and leaves nothing', async () => {
  const stuck = (content: Readable): Readable =>
    content.pipe(new Transform({ transform: () => undefined }).on('error', () => undefined)) as Readable;
  place = async (type, path) => {
    const storage = await settings.storage(type, path);
    return { ...storage, write: (name, content, options) => storage.write(name, stuck(content), options) };
  };
  try {
    const { id } = await engine.producer.accept({ job: job.name, tenant: null, input: {} }, 'test');
    await until('a file is begun', async () => readdirSync(root).length === 1);
    await engine.producer.cancel(id, 'test', null);
    await engine.producer.waitFor([id], { timeoutMs: 20_000 });
    expect(await findRun(engine.producer.pools, id, null)).toMatchObject({ status: 'cancelled' });
    await until('nothing is left', async () => readdirSync(root).length === 0);
  } finally {
    place = settings.storage;
  }
  expect(await registered()).toEqual([]);
});
