import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { backupSettings, listBackups, verifyBackup } from '../packages/backup/src/index.ts';
import { findRun } from '../packages/engine/src/accept-side.ts';
import {
  TEST_ENCRYPTION_KEYS,
  type TestEngine,
  type TestStore,
  testEngine,
  until,
} from '../packages/engine/src/testing/index.ts';
import { jobs } from '../packages/jobs/src/index.ts';

const WORKER = fileURLToPath(new URL('../apps/worker/dist/main.js', import.meta.url));
/** Some 4 MB of file: enough to be hit in the middle. */
const ROWS = 100_000;

const root = mkdtempSync(join(tmpdir(), 'nightshift-backup-kill-'));
const children: ChildProcess[] = [];
let store: TestStore;
let engine: TestEngine;

function startWorker(): ChildProcess {
  const child = spawn(process.execPath, [WORKER], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: store.databaseUrl,
      REDIS_URL: store.redisUrl,
      NIGHTSHIFT_NS: store.namespace,
      NIGHTSHIFT_CLOCK: 'off',
      LOG_LEVEL: 'silent',
      ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
      BACKUP_ROOT: root,
    },
  });
  children.push(child);
  return child;
}

beforeAll(async () => {
  // The worker of this process, which takes the run over, keeps backups where the other one does.
  vi.stubEnv('BACKUP_ROOT', root);
  vi.stubEnv('ENCRYPTION_KEYS', TEST_ENCRYPTION_KEYS);
  engine = await testEngine({ jobs, workers: 0 });
  store = engine.store;
  const tenant = await store.addTenant('gym', 'big');
  await store.admin.query(
    `BEGIN; SET LOCAL session_replication_role = replica;
     INSERT INTO gym.visits (tenant_id, member_id, visited_at) SELECT '${tenant}', gen_random_uuid(), now() FROM generate_series(1, ${ROWS}); COMMIT`,
  );
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await engine?.close();
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

test('a worker killed in the middle of a backup leaves no file that counts, and the run makes a whole one on another', async () => {
  const settings = backupSettings({ BACKUP_ROOT: root, ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS });
  const first = startWorker();
  await once(first, 'message');
  const { id } = await engine.producer.accept({ job: 'medication.backup', tenant: null, input: {} }, 'test');
  const partial = await until('more than a frame of the file is written', async () =>
    readdirSync(root).find((name) => name.startsWith('.partial-') && statSync(join(root, name)).size > 1_000_000),
  );
  const died = once(first, 'exit');
  first.kill('SIGKILL');
  await died;
  expect(existsSync(join(root, partial))).toBe(true);
  expect(await listBackups(settings, 'local')).toEqual([]);

  // What the clock would do in 15 s; that nobody takes a run before that is tested with the leases.
  await store.admin.query(`UPDATE ops.open_runs SET lease_until = clock_timestamp() WHERE id = $1`, [id]);
  await engine.addWorker();
  await engine.producer.waitFor([id], { timeoutMs: 120_000 });
  const run = await findRun(engine.producer.pools, id, null);
  expect(run).toMatchObject({ status: 'completed', crashes: 1 });
  const [made, ...others] = await listBackups(settings, 'local');
  expect(others).toEqual([]);
  expect(made?.rows).toBeGreaterThan(ROWS);
  expect(await verifyBackup(await settings.storage('local', ''), settings.keyring(), made?.id ?? '')).toHaveLength(1);
  // What was half written is gone too.
  expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual([]);
});
