import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { importableTables, importCsv } from '@nightshift/db/import';
import { nearest } from '@nightshift/engine';
import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import type { Environment } from '../home.ts';
import { findTenant } from '../tenants.ts';
import { UsageError } from '../usage-error.ts';

interface Flags {
  tenant: string;
  json?: boolean;
}

export function importCommand(program: Command, cli: Cli): void {
  const command = program
    .command('import')
    .description('import a CSV file into a table, all of it or nothing')
    .argument('<table>', 'such as gym.visits')
    .argument('<file>', "a CSV file with a header line, or '-' for stdin")
    .requiredOption('--tenant <tenant>', 'whose rows they are: slug or id');
  cli.run(command, async (tableName: string, file: string, flags: Flags) => {
    checkTable(tableName);
    const stream = await openFile(cli, file);
    return cli.withProducer(
      async (producer) => {
        const system = tableName.split('.')[0] ?? '';
        const tenant = await findTenant(producer, flags.tenant, system);
        const result = await importCsv({
          pool: producer.pools.app,
          table: tableName,
          tenantId: tenant.id,
          stream,
          crypto: producer.crypto,
        });
        await producer.appendAudit({
          tenantId: tenant.id,
          actor: cli.actor,
          action: result.errors.length === 0 ? 'rows.imported' : 'import.refused',
          details: { table: tableName, rows: result.imported, problems: result.errors.length },
        });
        for (const problem of result.errors)
          cli.tell(`line ${problem.line}${problem.column ? `, ${problem.column}` : ''}: ${problem.reason}`);
        cli.print(flags, result, () =>
          result.errors.length === 0
            ? `${result.imported.toLocaleString('en-US')} rows imported into ${tableName} of ${tenant.slug}.`
            : 'Nothing was imported: mend the lines above and import the file again.',
        );
        return result.errors.length === 0 ? EXIT.ok : EXIT.failed;
      },
      { copies: true },
    );
  });
}

function checkTable(name: string): void {
  const known = importableTables().map(({ table }) => table);
  if (known.includes(name)) return;
  const near = nearest(name, known);
  const suggestion = near === null ? `Those that can: ${known.join(', ')}.` : `Did you mean '${near}'?`;
  throw new UsageError(`Nothing can be imported into '${name}'. ${suggestion}`);
}

async function openFile(cli: Cli, file: string): Promise<Readable> {
  if (file === '-') return cli.stdin as Readable;
  const stream = createReadStream(locate(file, cli.env));
  try {
    await once(stream, 'open');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
  return stream;
}

/** npm runs a script in the repository's root, and says in INIT_CWD where the person stood. */
function locate(file: string, env: Environment): string {
  const here = resolve(file);
  return existsSync(here) || !env.INIT_CWD ? here : resolve(env.INIT_CWD, file);
}
