import { mkdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type AppRole, findFreePort, isPortFree, type Supervisor } from '@nightshift/services';
import { type Environment, REPOSITORY_ROOT } from '../home.ts';
import type { MailSink } from '../mail/mail-sink.ts';
import { mailVariables } from './mail.ts';
import { type Secrets, secretVariables } from './secrets.ts';
import type { StartedServers } from './servers.ts';
import type { Steps } from './steps.ts';

/** PORT was set and somebody else has it. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';

  constructor(port: number) {
    super(
      `port ${port} is taken: stop the process that listens there, or set PORT to another one (unset, a free one is chosen)`,
    );
  }
}

/** PORT is not a port. */
export class InvalidPortError extends Error {
  override readonly name = 'InvalidPortError';

  constructor(value: string) {
    super(`expected PORT to be a whole number from 1 to 65535, got '${value}'`);
  }
}

const DEFAULT_PORT = 3000;
const WORKERS = 2;
const READY_TIMEOUT_MS = 60_000;

/** PORT if set, else 3000, else (taken) a free one, which is said. */
export async function choosePort(env: Environment, steps: Pick<Steps, 'note'>): Promise<number> {
  if (env.PORT) {
    const port = Number(env.PORT);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidPortError(env.PORT);
    if (!(await isPortFree(port))) throw new PortTakenError(port);
    return port;
  }
  const port = await findFreePort(DEFAULT_PORT);
  if (port !== DEFAULT_PORT) steps.note(`port ${DEFAULT_PORT} is taken, the API listens on ${port}`);
  return port;
}

export interface FleetOptions {
  home: string;
  env: Environment;
  production: boolean;
  servers: StartedServers;
  secrets: Secrets;
  port: number;
  /** What takes the workers' mail in development. */
  mail: MailSink | null;
  /** Off: schedules don't tick, only what is asked for runs. */
  clock: boolean;
}

function appEnvironment(options: FleetOptions, role: AppRole): NodeJS.ProcessEnv {
  // Serving processes never hold an administrator's credentials.
  const { ADMIN_DATABASE_URL: _, ...inherited } = options.env;
  return {
    ...inherited,
    ...secretVariables(options.secrets),
    NODE_ENV: options.production ? 'production' : 'development',
    NIGHTSHIFT_HOME: options.home,
    // Production says where to; another disk than the database's is best.
    ...(options.production || options.env.BACKUP_ROOT ? {} : { BACKUP_ROOT: join(options.home, 'backups') }),
    NIGHTSHIFT_NS: options.env.NIGHTSHIFT_NS || 'ns',
    DATABASE_URL: options.servers.databaseUrl,
    REDIS_URL: options.servers.redisUrl,
    PORT: String(options.port),
    // Some shells export HOST as the machine's name.
    HOST: isIP(options.env.HOST ?? '') === 0 ? '127.0.0.1' : options.env.HOST,
    ...(role === 'worker' ? mailVariables(options.mail, options.env) : {}),
    ...(role === 'worker' && !options.clock ? { NIGHTSHIFT_CLOCK: 'off' } : {}),
    ...(role === 'worker' && !options.production ? alertMail(options) : {}),
  };
}

/** So that a newcomer's alerts go somewhere, with links that open. */
function alertMail({ env, port }: FleetOptions): NodeJS.ProcessEnv {
  return {
    ALERT_EMAIL_TO: env.ALERT_EMAIL_TO || 'operations@nightshift.example',
    PUBLIC_URL: env.PUBLIC_URL || `http://127.0.0.1:${port}`,
  };
}

async function waitForReadyz(apiUrl: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + READY_TIMEOUT_MS;
  let last = 'no answer';
  while (performance.now() < end) {
    signal.throwIfAborted();
    try {
      const response = await fetch(`${apiUrl}/readyz`, { signal: AbortSignal.timeout(5_000) });
      if (response.ok) return;
      last = `status ${response.status}`;
    } catch (error) {
      last = (error as Error).message;
    }
    await delay(50);
  }
  throw new Error(`the API at ${apiUrl} was not ready after ${READY_TIMEOUT_MS / 1000} s (${last})`);
}

/** One API and two workers; resolves when the API answers `/readyz` and every worker consumes. */
export async function startFleet(options: FleetOptions, supervisor: Supervisor, signal: AbortSignal): Promise<string> {
  const logs = join(options.home, 'logs');
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const superviseApp = (role: AppRole, name: string) =>
    supervisor.superviseApp({
      name,
      role,
      entry: join(REPOSITORY_ROOT, 'apps', role, 'dist', 'main.js'),
      env: appEnvironment(options, role),
      logFile: join(logs, `${name}.log`),
    });
  const apiUrl = `http://127.0.0.1:${options.port}`;
  const workers = Array.from({ length: WORKERS }, (_, index) => superviseApp('worker', `worker-${index + 1}`));
  await Promise.all([superviseApp('api', 'api-1').then(() => waitForReadyz(apiUrl, signal)), ...workers]);
  return apiUrl;
}
