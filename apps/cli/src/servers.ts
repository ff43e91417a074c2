import { NightshiftError } from '@nightshift/engine';
import { type Environment, homeDirectory, readDevFile } from './home.ts';

/** Where the command finds its servers. */
export interface Servers {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** A role that may create roles, databases and demo data; null where the command was not given one. */
  readonly adminDatabaseUrl: string | null;
}

export class NothingRunningError extends NightshiftError {
  constructor(home: string) {
    super(
      'nothing-running',
      `Nothing is running in ${home}; start it with npm start, or set DATABASE_URL and REDIS_URL.`,
    );
  }
}

export class NoAdminUrlError extends NightshiftError {
  constructor() {
    super(
      'no-admin-url',
      'This command makes roles and tables: set ADMIN_DATABASE_URL, or start the platform with npm start.',
    );
  }
}

/** From `DATABASE_URL` and `REDIS_URL`, else from what `npm start` wrote. Errors: `NothingRunningError`. */
export function findServers(env: Environment): Servers {
  const home = homeDirectory(env);
  const dev = readDevFile(home);
  const databaseUrl = env.DATABASE_URL || dev?.databaseUrl;
  const redisUrl = env.REDIS_URL || dev?.redisUrl;
  if (!databaseUrl || !redisUrl) throw new NothingRunningError(home);
  return { databaseUrl, redisUrl, adminDatabaseUrl: findAdminUrl(env) };
}

/** Null where neither the environment nor a running `npm start` names one. */
export function findAdminUrl(env: Environment): string | null {
  if (env.ADMIN_DATABASE_URL) return env.ADMIN_DATABASE_URL;
  // The administrator of the embedded server does not fit a server that the environment names.
  return env.DATABASE_URL ? null : (readDevFile(homeDirectory(env))?.adminDatabaseUrl ?? null);
}

/** Host and port for a message: a URL itself holds a password. */
export function address(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return 'an address that is not a URL';
  }
}
