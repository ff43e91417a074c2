import { knownMigrations, migrate } from '@nightshift/db';
import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import type { Environment } from '../home.ts';
import { findAdminUrl, NoAdminUrlError } from '../servers.ts';
import { UsageError } from '../usage-error.ts';

export function migrateCommand(program: Command, cli: Cli): void {
  const command = program
    .command('migrate')
    .description('make or update the database that ADMIN_DATABASE_URL names, and the roles that serve it');
  cli.run(command, async (flags: { json?: boolean }) => {
    const adminUrl = findAdminUrl(cli.env);
    if (adminUrl === null) throw new NoAdminUrlError();
    const database = decodeURIComponent(new URL(adminUrl).pathname.slice(1));
    if (database === '')
      throw new UsageError('ADMIN_DATABASE_URL must end in the name of the database, such as /nightshift.');
    const loginPassword = passwordOfLogin(cli.env);
    await migrate({
      adminUrl: existingDatabase(adminUrl),
      database,
      ...(loginPassword === undefined ? {} : { loginPassword }),
    });
    const newest = knownMigrations().at(-1)?.tag ?? 'none';
    cli.print(flags, { database, schema: newest }, () => `Database ${database} is at ${newest}.`);
    return EXIT.ok;
  });
}

/** The role `nightshift` gets the password that DATABASE_URL connects with, so that both always agree. */
export function passwordOfLogin(env: Environment): string | undefined {
  if (!env.DATABASE_URL) return undefined;
  const url = new URL(env.DATABASE_URL);
  return url.username === 'nightshift' && url.password !== '' ? decodeURIComponent(url.password) : undefined;
}

/** Every server has a database `postgres`; the one to be made may not exist yet. */
export function existingDatabase(adminUrl: string): string {
  const url = new URL(adminUrl);
  url.pathname = '/postgres';
  return url.href;
}
