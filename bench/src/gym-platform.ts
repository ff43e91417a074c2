import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { databaseUrl, migrate } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { createCatalogue } from '@nightshift/engine';
import { createProducer, type Producer } from '@nightshift/engine/accept';
import { jobs } from '@nightshift/jobs';
import { startPostgres, startRedis, WORKER_NODE_FLAGS } from '@nightshift/services';
import { pino } from 'pino';
import type { GymBenchOptions } from './gym-options.ts';

const DATABASE = 'nightshift';
const DAYS = 180;
const WORKER = fileURLToPath(new URL('../../apps/worker/dist/main.js', import.meta.url));

/** Fills the database; what it loaded, in words. */
export type Seed = (adminUrl: string) => Promise<{ readonly visits: number; readonly loaded: string }>;

/** MB. */
export interface WorkerMemory {
  readonly peak: number;
  readonly added: number;
}

/** Servers, data and one worker process of their own. */
export interface Platform {
  readonly adminUrl: string;
  readonly producer: Producer;
  readonly visits: number;
  /** The worker's highest resident memory so far, and how much of it came after its start; null where the system doesn't tell. */
  workerMemory(): WorkerMemory | null;
  stop(): Promise<void>;
}

/** One gym of the size asked for. */
export const seedOneGym =
  (options: GymBenchOptions): Seed =>
  async (adminUrl) => {
    const visitsPerMember = options.visits / options.members;
    const seeded = await seedDemo({ adminUrl, gyms: 1, members: options.members, days: DAYS, visitsPerMember });
    return {
      visits: seeded.visits,
      loaded: `${seeded.members} members, ${seeded.visits} visits, ${seeded.coaches} coaches`,
    };
  };

/** Starts everything from nothing; `say` hears a line a step. */
export async function startPlatform(seed: Seed, say: (line: string) => void): Promise<Platform> {
  const dir = mkdtempSync(join(tmpdir(), 'nightshift-bench-'));
  // As root, Postgres runs as another user who has to get in.
  chmodSync(dir, 0o755);
  const [postgres, redis] = await Promise.all([
    startPostgres({ dir: join(dir, 'postgres') }),
    startRedis({ dir: join(dir, 'redis') }),
  ]);
  const password = randomBytes(24).toString('hex');
  await migrate({ adminUrl: postgres.adminUrl, database: DATABASE, loginPassword: password });
  const adminUrl = databaseUrl(postgres.adminUrl, DATABASE);
  const startedAt = performance.now();
  const seeded = await seed(adminUrl);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  say(`${seeded.loaded} loaded in ${seconds} s`);
  const serving = new URL(adminUrl);
  serving.username = 'nightshift';
  serving.password = password;
  const worker = await startWorker(dir, serving.href, redis.url);
  const idleMb = memoryMb(worker, 'VmRSS');
  const producer = createProducer({
    databaseUrl: serving.href,
    redisUrl: redis.url,
    namespace: 'bench',
    catalogue: createCatalogue(jobs),
    log: pino({ level: 'silent' }),
    poolMax: 4,
  });
  return {
    adminUrl,
    producer,
    visits: seeded.visits,
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

async function startWorker(dir: string, databaseUrl: string, redisUrl: string): Promise<ChildProcess> {
  const log = openSync(join(dir, 'worker.log'), 'a');
  const worker = spawn(process.execPath, [...WORKER_NODE_FLAGS, WORKER], {
    stdio: ['ignore', log, log, 'ipc'],
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'development',
      NIGHTSHIFT_NS: 'bench',
      NIGHTSHIFT_CLOCK: 'off',
      ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
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

function memoryMb(worker: ChildProcess, which: 'VmHWM' | 'VmRSS'): number | null {
  try {
    const kilobytes = new RegExp(`^${which}:\\s+(\\d+)`, 'm').exec(
      readFileSync(`/proc/${worker.pid}/status`, 'utf8'),
    )?.[1];
    return kilobytes === undefined ? null : Math.round(Number(kilobytes) / 1024);
  } catch {
    return null;
  }
}
