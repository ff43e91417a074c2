import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { claimDirectory, type DirectoryClaim } from './directory-claim.ts';
import { ServerStartError } from './errors.ts';
import { findFreePort } from './free-port.ts';
import { isRunning, reapProcess } from './process-identity.ts';
import { findRedis } from './redis-binary.ts';
import { readLogTail, type ServerExit, type ServerProcess, startServerProcess } from './server-process.ts';

export type RedisSettings = Record<string, string | number>;

export interface StartRedisOptions {
  /** Belongs to this server alone; made if missing. Kept: append-only file, password (0600), port, log. */
  dir: string;
  /** Preferred port; default the one of the last start. A taken one is replaced by a free one. */
  port?: number;
  /** Lines of redis.conf over the defaults. */
  settings?: RedisSettings;
  /** Hears one line when something unusual is done (an installation); default stderr. */
  log?: (line: string) => void;
}

export interface RedisServer {
  /** With the password: `redis://:…@127.0.0.1:port/0`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<ServerExit>;
  /** SIGTERM: Redis flushes its append-only file. */
  stop(): Promise<void>;
  /** SIGKILL: up to a second of writes may be lost, as in a crash. */
  kill(): Promise<void>;
  /** Stops and deletes everything. */
  remove(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const PORT_ATTEMPTS = 4;
const stderrLog = (line: string) => void process.stderr.write(`${line}\n`);

/** Losing an acknowledged write to eviction would lose a job: Redis must refuse writes when full. */
function renderConf(dir: string, port: number, password: string, settings: RedisSettings): string {
  const all: RedisSettings = {
    bind: '127.0.0.1',
    port,
    requirepass: password,
    dir: JSON.stringify(join(dir, 'data')),
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '""',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    ...settings,
  };
  return `${Object.entries(all)
    .map(([name, value]) => `${name} ${value}`)
    .join('\n')}\n`;
}

/** One PING over a connection of its own: true only after the append-only file is loaded. */
function answersPing(port: number, password: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    socket.setTimeout(2_000, () => socket.destroy());
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.on('data', (chunk) => {
      answer += chunk.toString();
      if (answer.split('\r\n').length > 2) socket.destroy();
    });
    socket.on('error', () => {});
    socket.once('close', () => done(answer === '+OK\r\n+PONG\r\n'));
  });
}

async function waitUntilReady(
  server: ServerProcess,
  port: number,
  password: string,
  logFile: string,
): Promise<boolean> {
  const end = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < end) {
    if (server.hasExited()) return false;
    if (await answersPing(port, password)) return true;
    await delay(10);
  }
  await server.end([['SIGKILL', 5_000]]);
  throw new ServerStartError('Redis', `no answer after ${START_TIMEOUT_MS / 1000} s`, readLogTail(logFile));
}

function readPassword(dir: string): string {
  const path = join(dir, 'password');
  if (!existsSync(path)) writeFileSync(path, randomBytes(24).toString('hex'), { mode: 0o600 });
  return readFileSync(path, 'utf8').trim();
}

async function startOnFreePort(dir: string, password: string, options: StartRedisOptions, logFile: string) {
  const binary = await findRedis(options.log ?? stderrLog);
  const conf = join(dir, 'redis.conf');
  const portFile = join(dir, 'port');
  let wanted = options.port ?? (existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : undefined);
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort(wanted);
    writeFileSync(conf, renderConf(dir, port, password, options.settings ?? {}), { mode: 0o600 });
    const server = await startServerProcess({
      command: binary,
      args: [conf],
      cwd: dir,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      logFile,
      guardSignal: 'TERM',
      guardGraceSeconds: 10,
    });
    if (await waitUntilReady(server, port, password, logFile)) {
      writeFileSync(portFile, `${port}\n`, { mode: 0o600 });
      return { server, port };
    }
    const tail = readLogTail(logFile);
    if (attempt >= PORT_ATTEMPTS || !tail.includes('Address already in use')) {
      throw new ServerStartError('Redis', `it ended at once, log ${logFile}`, tail);
    }
    wanted = undefined;
  }
}

async function bringUp(dir: string, options: StartRedisOptions, claim: DirectoryClaim): Promise<RedisServer> {
  if (claim.leftover !== null && isRunning(claim.leftover)) await reapProcess(claim.leftover, 'SIGTERM', 20_000);
  mkdirSync(join(dir, 'data'), { recursive: true, mode: 0o700 });
  const password = readPassword(dir);
  const logFile = join(dir, 'redis.log');
  const { server, port } = await startOnFreePort(dir, password, options, logFile);
  claim.recordServer(server.pid);
  void server.exited.then(() => claim.release());
  const stop = () =>
    server.end([
      ['SIGTERM', 20_000],
      ['SIGKILL', 5_000],
    ]);
  return {
    url: `redis://default:${password}@127.0.0.1:${port}/0`,
    port,
    pid: server.pid,
    logFile,
    exited: server.exited,
    stop,
    kill: () => server.end([['SIGKILL', 5_000]]),
    async remove() {
      await server.end([['SIGKILL', 5_000]]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/**
 * Starts the Redis of `dir`, with a password and on 127.0.0.1 only: the same data, password and (if free) port at each
 * start. Dies with this process, however this process dies.
 * @throws AlreadyRunningError, ServerStartError, MissingBinaryError
 */
export async function startRedis(options: StartRedisOptions): Promise<RedisServer> {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const claim = claimDirectory(dir, 'Redis');
  try {
    return await bringUp(dir, options, claim);
  } catch (error) {
    claim.release();
    throw error;
  }
}
