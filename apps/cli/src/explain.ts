import { UnknownTenantError } from '@nightshift/engine';
import type { Cli } from './cli-context.ts';
import { address, findServers } from './servers.ts';
import { listTenants } from './tenants.ts';

export interface Explanation {
  readonly code: string;
  /** One sentence, or a list of problems; no stack, no secret. */
  readonly message: string;
  /** The command line was wrong, not the work. */
  readonly usage: boolean;
}

const USAGE_CODES = [
  'usage',
  'unknown-job',
  'unknown-tenant',
  'invalid-input',
  'unknown-queue',
  'unknown-run',
  'unknown-schedule',
  'unknown-alert',
];

/** What to tell a person about an error. */
export async function explain(error: unknown, cli: Cli): Promise<Explanation> {
  if (error instanceof UnknownTenantError) {
    const message = error.tenant === null ? '--tenant is missing: the job works for one tenant.' : error.message;
    return { code: error.code, message: `${message} ${await knownTenants(cli, error.system)}`.trim(), usage: true };
  }
  const code = (error as { code?: unknown })?.code;
  if (error instanceof Error && isOwnCode(code)) {
    return { code, message: error.message, usage: USAGE_CODES.includes(code) };
  }
  if (isUnreachable(error)) return { code: 'unreachable', message: unreachable(cli), usage: false };
  if (code === '28P01' || code === '28000') {
    return {
      code: 'refused',
      message: 'Postgres refused the credentials in DATABASE_URL or ADMIN_DATABASE_URL.',
      usage: false,
    };
  }
  const message = error instanceof Error ? (error.message.split('\n')[0] ?? error.name) : String(error);
  return { code: typeof code === 'string' ? code : 'unexpected', message: `Unexpected: ${message}`, usage: false };
}

/** Codes of our own errors are words with dashes; those of Node and Postgres are upper case or digits. */
function isOwnCode(code: unknown): code is string {
  return typeof code === 'string' && /^[a-z]+(-[a-z]+)*$/.test(code);
}

function isUnreachable(error: unknown): boolean {
  const one = (each: unknown) =>
    ['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'ECONNRESET', 'EHOSTUNREACH'].includes(
      String((each as { code?: unknown })?.code),
    );
  return one(error) || (error instanceof AggregateError && error.errors.some(one));
}

function unreachable(cli: Cli): string {
  const servers = findServers(cli.env);
  return `Postgres at ${address(servers.databaseUrl)} or Redis at ${address(servers.redisUrl)} does not answer; is npm start still running?`;
}

/** Jobs of the platform itself run for tenants of any system. */
const OF_ANY_SYSTEM = ['any', 'ops'];

async function knownTenants(cli: Cli, system: string): Promise<string> {
  try {
    const all = await cli.withProducer((producer) => listTenants(producer));
    const tenants = OF_ANY_SYSTEM.includes(system) ? all : all.filter((tenant) => tenant.system === system);
    const names = tenants.slice(0, 20).map((tenant) => `${tenant.slug} (${tenant.system})`);
    if (names.length > 0) return `Known tenants: ${names.join(', ')}.`;
    return all.length === 0 ? 'There are no tenants yet.' : `System '${system}' has no tenants yet.`;
  } catch {
    // The first error is the one to tell.
    return '';
  }
}
