import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { databaseUrl, migrate } from '@nightshift/db';
import { createCatalogue } from '@nightshift/engine';
import { createProducer, type Producer } from '@nightshift/engine/accept';
import { jobs } from '@nightshift/jobs';
import { startPostgres, startRedis, WORKER_NODE_FLAGS } from '@nightshift/services';
import { pino } from 'pino';

const DATABASE = 'nightshift';
const WORKER = fileURLToPath(new URL('../../apps/worker/dist/main.js', import.meta.url));

/** MB. */
export interface WorkerMemory {
  readonly peak: number;
  readonly added: number;
}

/** Servers, data and one worker process of their own, with the settings that `npm start` gives them. */
export interface BenchPlatform {
  readonly adminUrl: string;
  readonly producer: Producer;
  /** The worker's highest resident memory so far, and how much of it came after its start; null where the system doesn't tell. */
  workerMemory(): WorkerMemory | null;
  stop(): Promise<void>;
}

/** Starts everything from nothing; `fill` puts the data in before the worker starts. */
export async function startBenchPlatform(
  fill: (data: { readonly adminUrl: string; readonly encryptionKeys: string }) => Promise<void>,
): Promise<BenchPlatform> {
  const dir = mkdtempSync(join(tmpdir(), 'nightshift-bench-'));
  // As root, Postgres runs as another user who has to get in.
  chmodSync(dir, 0o755);
  const [postgres, redis] = await Promise.all([
    startPostgres({ dir: join(dir, 'postgres') }),
    startRedis({ dir: join(dir, 'redis') }),
  ]);
  const password = randomBytes(24).toString('hex');
  const encryptionKeys = `bench:${randomBytes(32).toString('base64')}`;
  await migrate({ adminUrl: postgres.adminUrl, database: DATABASE, loginPassword: password });
  const adminUrl = databaseUrl(postgres.adminUrl, DATABASE);
  await fill({ adminUrl, encryptionKeys });
  const serving = new URL(adminUrl);
  serving.username = 'nightshift';
  serving.password = password;
  const worker = await startWorker(dir, {
    DATABASE_URL: serving.href,
    REDIS_URL: redis.url,
    ENCRYPTION_KEYS: encryptionKeys,
  });
  const idleMb = memoryMb(worker, 'VmRSS');
  const producer = createProducer({
    databaseUrl: serving.href,
    redisUrl: redis.url,
    namespace: 'bench',
    catalogue: createCatalogue(jobs),
    encryptionKeys,
    log: pino({ level: 'silent' }),
    poolMax: 4,
  });
  return {
    adminUrl,
    producer,
    workerMemory() {
      const peak = memoryMb(worker, 'VmHWM');
      return peak === null || idleMb === null ? null : { peak, added: Math.max(0, peak - idleMb) };
    },
    async stop() {
      await producer.close();
      await stopWorker(worker);
      await Promise.all([redis.remove(), postgres.remove()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function startWorker(dir: string, services: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const log = openSync(join(dir, 'worker.log'), 'a');
  const worker = spawn(process.execPath, [...WORKER_NODE_FLAGS, WORKER], {
    stdio: ['ignore', log, log, 'ipc'],
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'development',
      NIGHTSHIFT_NS: 'bench',
      NIGHTSHIFT_CLOCK: 'off',
      ...services,
    },
  });
  const ready = once(worker, 'message').then(() => true);
  const ended = once(worker, 'exit').then(() => false);
  if (!(await Promise.race([ready, ended]))) {
    throw new Error(
      `the worker ended before it was ready:\n${readFileSync(join(dir, 'worker.log'), 'utf8').slice(-2_000)}`,
    );
  }
  return worker;
}

async function stopWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const ended = once(worker, 'exit');
  worker.kill('SIGTERM');
  await ended;
}

function memoryMb(worker: ChildProcess, field: 'VmHWM' | 'VmRSS'): number | null {
  try {
    const status = readFileSync(`/proc/${worker.pid}/status`, 'utf8');
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1];
    return kilobytes === undefined ? null : Math.round(Number(kilobytes) / 1024);
  } catch {
    return null;
  }
}
