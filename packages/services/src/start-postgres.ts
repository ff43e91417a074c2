import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { claimDirectory, type DirectoryClaim } from './directory-claim.ts';
import { ServerStartError } from './errors.ts';
import { findFreePort } from './free-port.ts';
import { fallbackDirectory, locatePostgres, type PostgresLocation } from './postgres-location.ts';
import { type PostgresSettings, renderPostgresConf } from './postgres-settings.ts';
import { type OsUser, postgresUser } from './postgres-user.ts';
import { identifyProcess, isRunning, reapProcess } from './process-identity.ts';
import { readLogTail, type ServerExit, type ServerProcess, startServerProcess } from './server-process.ts';

export type PostgresStopMode = 'smart' | 'fast' | 'immediate';

export interface StartPostgresOptions {
  /** Belongs to this server alone; made if missing. Kept: data, password (0600), port, log. */
  dir: string;
  /** Preferred port; default the one of the last start. A taken one is replaced by a free one. */
  port?: number;
  /** Over the defaults of postgres-settings.ts. */
  settings?: PostgresSettings;
  /** Hears one line when something unusual is done; default stderr. */
  log?: (line: string) => void;
}

export interface PostgresServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The superuser `postgres` in the database `postgres`. */
  readonly adminUrl: string;
  readonly pid: number;
  readonly logFile: string;
  readonly dataDir: string;
  /** Resolves when the server has ended, for whatever reason. */
  readonly exited: Promise<ServerExit>;
  /** Default `fast`: open transactions are rolled back. `immediate` is a crash with recovery at the next start. */
  stop(mode?: PostgresStopMode): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Stops and deletes everything, also what lies below /var/tmp. */
  remove(): Promise<void>;
}

interface Prepared {
  dir: string;
  location: PostgresLocation;
  user: OsUser | null;
  password: string;
  logFile: string;
  env: NodeJS.ProcessEnv;
}

const START_TIMEOUT_MS = 120_000;
const STOP_PATIENCE_MS = 60_000;
const PORT_ATTEMPTS = 4;
const stderrLog = (line: string) => void process.stderr.write(`${line}\n`);

function readOr(path: string, make: () => string): string {
  if (existsSync(path)) return readFileSync(path, 'utf8').trim();
  const value = make();
  writeFileSync(path, `${value}\n`, { mode: 0o600 });
  return value;
}

function runInitdb(prepared: Prepared, target: string, passwordFile: string): Promise<void> {
  const args = ['-D', target, '-U', 'postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'];
  args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--data-checksums', '--no-sync');
  const command = join(prepared.location.nativeDir, 'bin', 'initdb');
  return new Promise((done, reject) => {
    let output = '';
    const child = spawn(command, args, {
      cwd: prepared.location.stateDir,
      env: prepared.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...prepared.user,
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) done();
      else reject(new ServerStartError('Postgres', `initdb ended with code ${code}`, output.trim()));
    });
  });
}

/** Into a directory beside and then renamed: a start that was killed half way leaves no half cluster. */
async function makeCluster(prepared: Prepared): Promise<void> {
  const { stateDir, dataDir } = prepared.location;
  if (existsSync(dataDir)) return;
  const fresh = join(stateDir, 'data.new');
  const passwordFile = join(stateDir, 'initial-password');
  rmSync(fresh, { recursive: true, force: true });
  writeFileSync(passwordFile, prepared.password, { mode: 0o600 });
  if (prepared.user !== null) chownSync(passwordFile, prepared.user.uid, prepared.user.gid);
  try {
    await runInitdb(prepared, fresh, passwordFile);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(fresh, dataDir);
}

function postmasterLines(dataDir: string): string[] {
  try {
    return readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return [];
  }
}

/**
 * A postmaster of an earlier start that nobody owns is stopped. A stale postmaster.pid whose number belongs to another
 * process by now is deleted: Postgres would refuse to start if that process ran under the same user.
 */
async function reapPostmaster(dataDir: string): Promise<void> {
  const pid = Number(postmasterLines(dataDir)[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  const identity = identifyProcess(pid);
  if (identity !== null && isPostmasterOf(pid, dataDir)) await reapProcess(identity, 'SIGINT', STOP_PATIENCE_MS);
  rmSync(join(dataDir, 'postmaster.pid'), { force: true });
}

function isPostmasterOf(pid: number, dataDir: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(dataDir);
  } catch {
    // No /proc (macOS): the number stands in this cluster's own file and is alive.
    return process.platform !== 'linux';
  }
}

async function waitUntilReady(server: ServerProcess, prepared: Prepared): Promise<'ready' | 'exited'> {
  const end = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < end) {
    if (server.hasExited()) return 'exited';
    const lines = postmasterLines(prepared.location.dataDir);
    if (Number(lines[0]) === server.pid && lines[7]?.trim() === 'ready') return 'ready';
    await delay(10);
  }
  await server.end([
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ]);
  throw new ServerStartError('Postgres', `not ready after ${START_TIMEOUT_MS / 1000} s`, readLogTail(prepared.logFile));
}

function spawnPostmaster(prepared: Prepared): Promise<ServerProcess> {
  const { nativeDir, dataDir } = prepared.location;
  return startServerProcess({
    command: join(nativeDir, 'bin', 'postgres'),
    args: ['-D', dataDir],
    cwd: dataDir,
    env: prepared.env,
    logFile: prepared.logFile,
    guardSignal: 'INT',
    guardGraceSeconds: 20,
    ...(prepared.user === null ? {} : { user: prepared.user }),
  });
}

async function startOnFreePort(
  prepared: Prepared,
  preferred: number | undefined,
  settings: PostgresSettings,
): Promise<{ server: ServerProcess; port: number }> {
  let wanted = preferred;
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort(wanted);
    writeFileSync(join(prepared.location.dataDir, 'postgresql.conf'), renderPostgresConf(port, settings));
    const server = await spawnPostmaster(prepared);
    if ((await waitUntilReady(server, prepared)) === 'ready') return { server, port };
    const tail = readLogTail(prepared.logFile);
    // Somebody took the port between our look and the server's bind.
    if (attempt >= PORT_ATTEMPTS || !tail.includes('Address already in use')) {
      throw new ServerStartError('Postgres', `it ended at once, log ${prepared.logFile}`, tail);
    }
    wanted = undefined;
  }
}

function prepare(dir: string, log: (line: string) => void): Prepared {
  const user = postgresUser(log);
  const location = locatePostgres(dir, user, log);
  return {
    dir,
    location,
    user,
    password: readOr(join(dir, 'password'), () => randomBytes(24).toString('hex')),
    logFile: join(dir, 'postgres.log'),
    env: { PATH: process.env.PATH, HOME: location.stateDir, LC_ALL: 'C', TZ: 'UTC' },
  };
}

async function checkSignIn(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl, connectionTimeoutMillis: 10_000 });
  await client.connect();
  await client.end();
}

async function bringUp(dir: string, options: StartPostgresOptions, claim: DirectoryClaim): Promise<PostgresServer> {
  if (claim.leftover !== null && isRunning(claim.leftover)) {
    await reapProcess(claim.leftover, 'SIGINT', STOP_PATIENCE_MS);
  }
  const prepared = prepare(dir, options.log ?? stderrLog);
  await makeCluster(prepared);
  const { dataDir } = prepared.location;
  await reapPostmaster(dataDir);
  const portFile = join(dir, 'port');
  const lastPort = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : undefined;
  const { server, port } = await startOnFreePort(prepared, options.port ?? lastPort, options.settings ?? {});
  writeFileSync(portFile, `${port}\n`, { mode: 0o600 });
  claim.recordServer(server.pid);
  void server.exited.then(() => claim.release());
  const adminUrl = `postgresql://postgres:${prepared.password}@127.0.0.1:${port}/postgres`;
  await checkSignIn(adminUrl);
  return handle(prepared, server, port, adminUrl);
}

const FIRST_SIGNAL = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

function handle(prepared: Prepared, server: ServerProcess, port: number, adminUrl: string): PostgresServer {
  const stop = (mode: PostgresStopMode = 'fast') =>
    server.end([
      [FIRST_SIGNAL[mode], STOP_PATIENCE_MS],
      ['SIGQUIT', 10_000],
      ['SIGKILL', 10_000],
    ]);
  return {
    host: '127.0.0.1',
    port,
    adminUrl,
    pid: server.pid,
    logFile: prepared.logFile,
    dataDir: prepared.location.dataDir,
    exited: server.exited,
    stop,
    kill: () => server.end([['SIGKILL', 10_000]]),
    async remove() {
      await stop('immediate');
      removePostgresDirectory(prepared.dir);
    },
  };
}

/** Deletes the directory of a Postgres that doesn't run, also what lies below /var/tmp. */
export function removePostgresDirectory(dir: string): void {
  if (!existsSync(dir)) return;
  if (process.getuid?.() === 0) rmSync(fallbackDirectory(dir), { recursive: true, force: true });
  rmSync(dir, { recursive: true, force: true });
}

/**
 * Starts the Postgres of `dir`: made on the first call, the same data, password and (if free) port afterwards.
 * TCP on 127.0.0.1 only. Dies with this process, however this process dies.
 * @throws AlreadyRunningError, ServerStartError, MissingBinaryError
 */
export async function startPostgres(options: StartPostgresOptions): Promise<PostgresServer> {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const claim = claimDirectory(dir, 'Postgres');
  try {
    return await bringUp(dir, options, claim);
  } catch (error) {
    claim.release();
    throw error;
  }
}
