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
    return { code: error.code, message: `${error.message} ${await knownTenants(cli)}`.trim(), usage: true };
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

async function knownTenants(cli: Cli): Promise<string> {
  try {
    const tenants = await cli.withProducer((producer) => listTenants(producer));
    const names = tenants.slice(0, 20).map((tenant) => `${tenant.slug} (${tenant.system})`);
    return names.length === 0 ? 'There are no tenants yet.' : `Known tenants: ${names.join(', ')}.`;
  } catch {
    // The first error is the one to tell.
    return '';
  }
}
