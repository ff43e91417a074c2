import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { inSnapshot } from '@nightshift/db';
import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DamagedBackupError, NoBaseError, StoragePathError } from './errors.ts';
import { findBackup, listBackups } from './find-backups.ts';
import { backupSettings } from './settings.ts';
import { type BackupRequest, writeBackup } from './write-backup.ts';

const root = mkdtempSync(join(tmpdir(), 'nightshift-broken-storage-'));
const settings = backupSettings({
  BACKUP_ROOT: root,
  ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
});
let store: TestStore;
beforeAll(async () => {
  store = await testStore();
  await store.addTenant('gym', 'iron-works');
});
afterAll(async () => {
  await store.close();
  rmSync(root, { recursive: true, force: true });
});

async function backUp(path: string, over: Partial<BackupRequest> = {}) {
  const storage = await settings.storage('local', path);
  const { signal } = new AbortController();
  return inSnapshot(
    { url: store.databaseUrl, name: 'test-snapshot', timeoutMs: 60_000 },
    (snapshot) =>
    writeBackup({
      type: 'full', tenant: null, baseId: null, snapshot, storage, signal,
      keyring: settings.keyring(),
      attempt: randomBytes(6).toString('hex'),
      ...over,
    }), // biome-ignore format: names alone
  );
}

test('a full disk is what the run fails with, not the stream that it broke', async () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  function* endless() {
    for (;;) yield randomBytes(64 * 1024);
  }
  const storage = {
    ...(await settings.storage('local', 'full')),
    async write(_name: string, content: AsyncIterable<Buffer>) {
      for await (const _ of content) break;
      // As a directory does: the file is closed and removed before anybody hears why.
      await sleep(20);
      throw full;
    },
  };
  const backup = inSnapshot(
    { url: store.databaseUrl, name: 'test-snapshot', timeoutMs: 60_000 },
    ({ client, copy }) =>
    writeBackup({
      type: 'full', tenant: null, baseId: null, storage,
      snapshot: { client, copy: (select) => (select.includes('"tenants"') ? Readable.from(endless()) : copy(select)) },
      keyring: settings.keyring(),
      attempt: 'full1',
      signal: new AbortController().signal,
    }), // biome-ignore format: names alone
  );
  await expect(backup).rejects.toBe(full);
});

test('a storage may be as slow as the run may last: the snapshot is not closed for waiting', async () => {
  const waits = await inSnapshot(
    { url: store.databaseUrl, name: 'test-snapshot', timeoutMs: 600_000 },
    async ({ client }) =>
      (
        await client.query<{ ms: string }>(
          `SELECT setting AS ms FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'`,
        )
      ).rows,
  );
  expect(waits).toEqual([{ ms: '600000' }]);
});

test('nothing is continued of which a part is gone or cut off: such a backup would restore nothing', async () => {
  const path = 'links';
  const first = await backUp(path);
  const second = await backUp(path, { type: 'incremental', baseId: first.id });
  const next = () => backUp(path, { type: 'incremental', baseId: second.id });
  const file = (suffix: string) => join(root, path, `${first.id}${suffix}`);
  const files = () => readdirSync(join(root, path)).sort();

  for (const suffix of ['.manifest.json', '.nsbackup']) {
    renameSync(file(suffix), join(root, 'aside'));
    const before = files();
    await expect(next()).rejects.toThrow(NoBaseError);
    await expect(next()).rejects.toThrow(new RegExp(`'${first.id}', which '${second.id}', the last one, continues`));
    expect(files()).toEqual(before);
    renameSync(join(root, 'aside'), file(suffix));
  }
  await expect(next()).resolves.toMatchObject({ base: second.id });
  // Under a key that is no longer there, or changed: tried again, it would fail again.
  const keyring = backupSettings({ ENCRYPTION_KEYS: `k2:${randomBytes(32).toString('base64')}` }).keyring();
  const otherKey = backUp(path, { type: 'incremental', baseId: second.id, keyring });
  await expect(otherKey).rejects.toThrow(NoBaseError);
  await expect(otherKey).rejects.toThrow(/key 'k1', which ENCRYPTION_KEYS does not hold.*\. Make a full one\.$/);
  truncateSync(file('.nsbackup'), first.data.bytes - 1);
  await expect(next()).rejects.toThrow(`has ${first.data.bytes - 1} bytes instead of ${first.data.bytes}`);
});

test('a manifest that cannot be read hides no other, and what is not ours below the root is passed over', async () => {
  const path = 'listed';
  const { id } = await backUp(path);
  writeFileSync(join(root, path, '20260101T000000Z-full-cutoffxx.manifest.json'), '{"mac": "');
  // The root of a disk has this one, and nobody but root may look into it.
  mkdirSync(join(root, 'lost+found'));
  writeFileSync(join(root, 'lost+found', `${id}.manifest.json`), '{}');
  const damaged: DamagedBackupError[] = [];
  const listed = await listBackups(settings, 'local', (error) => damaged.push(error));
  expect(listed.filter((one) => one.path === path).map((one) => one.id)).toEqual([id]);
  expect(damaged.map((error) => error.message)).toEqual([expect.stringMatching(/cutoffxx' is damaged/)]);
  await expect(listBackups(settings, 'local')).rejects.toBeInstanceOf(damaged[0]?.constructor);
  expect(await findBackup(settings, id)).toEqual({ type: 'local', path });
});

test('a path that leads to a file is refused for good', async () => {
  writeFileSync(join(root, 'a-file'), '');
  await expect(settings.storage('local', 'a-file')).rejects.toThrow(StoragePathError);
  await expect(settings.storage('local', 'a-file/below')).rejects.toThrow(/no directory/);
});

test('what a killed run left and no attempt of its own removed goes after days; what another run is writing stays', async () => {
  const path = 'left';
  await settings.storage('local', path);
  const partial = (name: string) => join(root, path, `.partial-${name}-x.nsbackup`);
  writeFileSync(partial('dead'), 'half');
  writeFileSync(partial('busy'), 'half');
  const days = (n: number) => new Date(Date.now() - n * 86_400_000);
  utimesSync(partial('dead'), days(3), days(3));
  utimesSync(partial('busy'), days(1), days(1));
  await backUp(path);
  expect(readdirSync(join(root, path)).filter((name) => name.startsWith('.'))).toEqual(['.partial-busy-x.nsbackup']);
});
