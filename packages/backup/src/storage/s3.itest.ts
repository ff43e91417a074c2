import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
// @ts-expect-error it has no types
import S3rver from '@20minutes/s3rver';
import { inSnapshot } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBackup, listBackups } from '../find-backups.ts';
import { verifyBackup } from '../read-backup.ts';
import { restoreBackup } from '../restore.ts';
import { backupSettings } from '../settings.ts';
import { writeBackup } from '../write-backup.ts';
import { MissingFileError } from './storage.ts';

const directory = mkdtempSync(join(tmpdir(), 'nightshift-s3-'));
const BUCKET = 'backups';
const server = new S3rver({
  address: '127.0.0.1',
  port: 0,
  silent: true,
  directory,
  // It signs the list of a bucket's objects in another way than Amazon and its client.
  allowMismatchedSignatures: true,
  configureBuckets: [{ name: BUCKET }],
});
let env: Record<string, string>;

beforeAll(async () => {
  const { port } = await server.run();
  env = {
    ENCRYPTION_KEYS: `k:${randomBytes(32).toString('base64')}`,
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_BUCKET: BUCKET,
    S3_ACCESS_KEY_ID: 'S3RVER',
    S3_SECRET_ACCESS_KEY: 'S3RVER',
  };
});
afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const signal = new AbortController().signal;

test('a backup goes to an S3-compatible server and comes back from it', async () => {
  const settings = backupSettings(env);
  const keyring = settings.keyring();
  const storage = await settings.storage('s3', 'nightly/all');
  const [source, target] = [await testStore(), await testStore()];
  try {
    await seedDemo({ adminUrl: source.adminUrl, gyms: 1, members: 50, days: 30 });
    const manifest = await inSnapshot({ url: source.databaseUrl, name: 'test', timeoutMs: 60_000 }, (snapshot) =>
      writeBackup({
        type: 'full',
        tenant: null,
        baseId: null,
        snapshot,
        storage,
        keyring,
        attempt: 'abcdef12',
        signal,
      }),
    );
    expect(await listBackups(settings, 's3')).toMatchObject([
      { id: manifest.id, storage: 's3', path: 'nightly/all', type: 'full' },
    ]);
    expect(await findBackup(settings, manifest.id)).toEqual({ type: 's3', path: 'nightly/all' });
    expect(await verifyBackup(storage, keyring, manifest.id)).toHaveLength(1);
    expect(await storage.sizeOf(manifest.data.file)).toBe(manifest.data.bytes);
    await expect(storage.sizeOf('not-there')).rejects.toThrow(MissingFileError);
    const database = new URL(target.adminUrl).pathname.slice(1);
    const restored = await restoreBackup({ storage, keyring, id: manifest.id, adminUrl: target.adminUrl, database });
    expect(restored.rows).toBe(manifest.tables.reduce((sum, table) => sum + table.rows, 0));
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
});

test('many parts arrive as one object', async () => {
  const storage = await backupSettings(env).storage('s3', '');
  const content = randomBytes(17 * 1024 * 1024);
  await storage.write('big.bin', Readable.from([content.subarray(0, 9_999_999), content.subarray(9_999_999)]), {
    attempt: 'x',
    signal,
    expectedBytes: 0,
  });
  const chunks: Buffer[] = [];
  for await (const chunk of await storage.read('big.bin')) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(content)).toBe(true);
});

test('an upload that breaks leaves no object, and says why it broke', async () => {
  const settings = backupSettings(env);
  const storage = await settings.storage('s3', 'broken');
  const content = Readable.from(
    (async function* () {
      yield randomBytes(9 * 1024 * 1024);
      throw new Error('the database went away');
    })(),
  );
  await expect(storage.write('half.bin', content, { attempt: 'x', signal, expectedBytes: 0 })).rejects.toThrow(
    /went away/,
  );
  await expect(storage.readText('half.bin')).rejects.toThrow(MissingFileError);
});

test('settings that are missing are named', async () => {
  const { S3_BUCKET: _, ...rest } = env;
  await expect(backupSettings(rest).storage('s3', '')).rejects.toThrow(/S3_BUCKET not set/);
  await expect(backupSettings({}).storage('local', '')).rejects.toThrow(/BACKUP_ROOT is not set/);
  expect(() => backupSettings({}).keyring()).toThrow(/ENCRYPTION_KEYS is not set/);
});
