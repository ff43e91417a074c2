import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrl, migrate } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { identifyProcess, removePostgresDirectory } from '@nightshift/services';
import { type Admin, createAdmin } from './admin.ts';
import { type App, type AppRole, startApp } from './app-process.ts';
import { type Caller, createCaller } from './caller.ts';
import { createEffects, type Effects } from './effects.ts';
import { type PostgresHandle, type RedisHandle, startPostgresHandle, startRedisHandle } from './servers.ts';
import { until } from './until.ts';

export interface FleetOptions {
  /** Default 1. */
  readonly apis?: number;
  /** Default 3. */
  readonly workers?: number;
  /** Demo gyms with so many members each; default none. */
  readonly gyms?: { readonly count: number; readonly members: number; readonly days?: number };
  /** Demo tenants of the other systems beside the gyms; default none. */
  readonly others?: OtherTenants;
  /** Variables of every worker, such as SMTP_URL. */
  readonly workerEnv?: NodeJS.ProcessEnv;
  /** Default `off`: schedules don't fire by themselves. */
  readonly clock?: 'on' | 'off';
  readonly slots?: { readonly short: number; readonly long: number };
}

export interface OtherTenants {
  readonly facilities: number;
  /** For each facility. */
  readonly clients: number;
  readonly zakatUsers: number;
  readonly firms: number;
  readonly organisations: number;
  /** For each organisation. */
  readonly organisationUsers: number;
}

export interface Gym {
  readonly id: string;
  readonly slug: string;
}

interface OwnWays {
  readonly env?: NodeJS.ProcessEnv;
  readonly mayExit?: number;
}

/** A whole installation of its own: servers, APIs and workers as separate processes, everything on loopback and in one directory. */
export interface Fleet {
  readonly admin: Admin;
  readonly effects: Effects;
  readonly caller: Caller;
  readonly postgres: PostgresHandle;
  readonly redis: RedisHandle;
  readonly cronSecret: string;
  readonly functionsApiKey: string;
  /** What each of its processes gets, secrets included. */
  readonly env: NodeJS.ProcessEnv;
  /** By slug. */
  readonly gyms: readonly Gym[];
  /** Those that are up. */
  apis(): readonly App[];
  workers(): readonly App[];
  addApi(): Promise<App>;
  /** `env`: variables of its own. `mayExit`: it may end by itself with this code. */
  addWorker(own?: OwnWays): Promise<App>;
  /** Ends all backends of APIs and workers; resolves to how many there were. */
  terminateBackends(): Promise<number>;
  /** Stops everything and deletes the directory. Errors: naming the processes that are left, or that ended by themselves. */
  close(): Promise<void>;
}

const DATABASE = 'nightshift';
const NAMESPACE = 'fleet';
const PREFIX = 'nightshift-fleet-';
const SLOTS = { short: 4, long: 2 };

const names = (apps: readonly App[]) => apps.map((app) => app.name).join(', ');

interface Home {
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly slots: { readonly short: number; readonly long: number };
  readonly clock: 'on' | 'off';
  readonly workerEnv: NodeJS.ProcessEnv;
}

function secret(bytes = 32): string {
  return randomBytes(bytes).toString('base64url');
}

function makeSecrets() {
  return {
    CRON_SECRET: secret(),
    FUNCTIONS_API_KEY: secret(),
    JWT_SECRET: secret(48),
    ENCRYPTION_KEYS: `dev1:${randomBytes(32).toString('base64')}`,
    AUDIT_KEY: randomBytes(32).toString('base64'),
    BOARD_PASSWORD: secret(12),
  };
}

/** What `npm start` gives its apps, beside their secrets. */
function environment(home: string, database: string, redis: string) {
  return {
    PATH: process.env.PATH,
    NODE_ENV: 'development',
    NIGHTSHIFT_HOME: home,
    NIGHTSHIFT_NS: NAMESPACE,
    BACKUP_ROOT: join(home, 'backups'),
    DATABASE_URL: database,
    REDIS_URL: redis,
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: process.env.NIGHTSHIFT_TEST_LOG ?? 'info',
  };
}

function startOne(home: Home, role: AppRole, number: number, own: OwnWays = {}): Promise<App> {
  const name = `${role}-${number}`;
  const worker = {
    ...home.workerEnv,
    NIGHTSHIFT_CLOCK: home.clock,
    NIGHTSHIFT_SLOTS_SHORT: String(home.slots.short),
    NIGHTSHIFT_SLOTS_LONG: String(home.slots.long),
  };
  const env = { ...home.env, ...(role === 'worker' ? worker : {}), ...own.env };
  const { mayExit } = own;
  return startApp({
    name,
    role,
    env,
    logFile: join(home.dir, `${name}.log`),
    ...(mayExit === undefined ? {} : { mayExit }),
  });
}

/** Starts the processes of a fleet and keeps their list. */
function createCrew(home: Home) {
  const crew: App[] = [];
  const up = (role: AppRole) => crew.filter((app) => app.role === role && app.isUp());
  return {
    all: crew,
    up,
    async add(role: AppRole, own?: OwnWays): Promise<App> {
      const app = await startOne(home, role, crew.filter((one) => one.role === role).length + 1, own);
      crew.push(app);
      return app;
    },
    async addMany(role: AppRole, count: number): Promise<void> {
      const starts = await Promise.allSettled(Array.from({ length: count }, (_, i) => startOne(home, role, i + 1)));
      for (const start of starts) if (start.status === 'fulfilled') crew.push(start.value);
      for (const start of starts) if (start.status === 'rejected') throw start.reason;
    },
    async stop(): Promise<void> {
      await Promise.all(up('api').map((app) => app.stop()));
      await Promise.all(up('worker').map((app) => app.stop()));
    },
  };
}

interface DatabaseSecrets {
  /** Of the login that the apps use. */
  readonly password: string;
  readonly encryptionKeys: string;
}

async function prepareDatabase(
  options: FleetOptions,
  postgres: PostgresHandle,
  { password, encryptionKeys }: DatabaseSecrets,
): Promise<Admin> {
  await migrate({ adminUrl: postgres.adminUrl, database: DATABASE, loginPassword: password });
  const adminUrl = databaseUrl(postgres.adminUrl, DATABASE);
  if (options.gyms !== undefined) {
    const { count, members, days = 7 } = options.gyms;
    const gyms = { adminUrl, gyms: count, members, days, visitsPerMember: 1 };
    // Without keys the systems that have encrypted columns are left out.
    await seedDemo(options.others === undefined ? gyms : { ...gyms, ...options.others, encryptionKeys });
  }
  return createAdmin(adminUrl);
}

/** Directories of fleets whose test was killed; their servers have ended with it. */
function removeAbandoned(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : 0;
    if (!(pid > 0) || identifyProcess(pid) !== null) continue;
    removePostgresDirectory(join(tmpdir(), name, 'postgres'));
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function loginUrl(postgres: PostgresHandle, password: string): string {
  const url = new URL(databaseUrl(postgres.adminUrl, DATABASE));
  url.username = 'nightshift';
  url.password = password;
  url.port = String(postgres.proxy.port);
  return url.href;
}

/** The newest first; one that fails keeps the others from nothing. Errors: the first. */
async function undoAll(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps.toReversed()) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** Errors: whatever kept it from coming up; nothing is left behind then. */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  removeAbandoned();
  const dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // As root, Postgres runs as another user who has to get in.
  chmodSync(dir, 0o755);
  const undo: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })];
  const tearDown = () => undoAll(undo);
  try {
    const [postgres, redis] = await Promise.all([
      startPostgresHandle(join(dir, 'postgres')),
      startRedisHandle(join(dir, 'redis')),
    ]);
    undo.push(() => Promise.all([postgres.remove(), redis.remove()]));
    const password = randomBytes(24).toString('hex');
    const secrets = makeSecrets();
    const admin = await prepareDatabase(options, postgres, { password, encryptionKeys: secrets.ENCRYPTION_KEYS });
    undo.push(() => admin.close());
    const effects = createEffects(admin);
    await effects.install();
    const env = { ...secrets, ...environment(dir, loginUrl(postgres, password), redis.url) };
    const { slots = SLOTS, clock = 'off', workerEnv = {} } = options;
    const crew = createCrew({ dir, env, slots, clock, workerEnv });
    undo.push(() => crew.stop());
    await Promise.all([crew.addMany('api', options.apis ?? 1), crew.addMany('worker', options.workers ?? 3)]);
    const gyms = await admin.rows<Gym>(`SELECT id, slug FROM ops.tenants WHERE system = 'gym' ORDER BY slug`);
    const urls = () => crew.up('api').flatMap((api) => (api.url === null ? [] : [api.url]));
    return {
      admin,
      effects,
      postgres,
      redis,
      gyms,
      caller: createCaller(urls, env.JWT_SECRET),
      cronSecret: env.CRON_SECRET,
      functionsApiKey: env.FUNCTIONS_API_KEY,
      env,
      apis: () => crew.up('api'),
      workers: () => crew.up('worker'),
      addApi: () => crew.add('api'),
      addWorker: (own) => crew.add('worker', own),
      async terminateBackends() {
        const [row] = await admin.rows<{ n: number }>(
          `SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightshift%'`,
          [DATABASE],
        );
        return row?.n ?? 0;
      },
      async close() {
        await tearDown();
        const left = crew.all.filter((app) => app.isUp());
        if (left.length > 0) throw new Error(`still running after the fleet was closed: ${names(left)}`);
        const crashed = crew.all.filter((app) => app.hasCrashed());
        if (crashed.length > 0) throw new Error(`ended by themselves: ${names(crashed)}`);
      },
    };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

/** The worker that holds a long run now; null when none does. */
export async function holderOf(fleet: Fleet, runId: string): Promise<App | null> {
  const [row] = await fleet.admin.rows<{ pid: number }>(
    `SELECT w.pid FROM ops.open_runs o JOIN ops.workers w ON w.id = o.worker WHERE o.id = $1 AND o.state = 'running'`,
    [runId],
  );
  return fleet.workers().find((worker) => worker.pid === row?.pid) ?? null;
}

/** Waits until a worker holds this sweep and is somewhere in its middle. */
export async function untilHalfway(fleet: Fleet, runId: string): Promise<App> {
  return until('a worker in the middle of the sweep', async () => {
    const [row] = await fleet.admin.rows<{ middle: boolean }>(
      `SELECT processed > 0 AND processed < expected AS middle FROM ops.open_runs WHERE id = $1 AND state = 'running'`,
      [runId],
    );
    return row?.middle === true ? await holderOf(fleet, runId) : null;
  });
}
