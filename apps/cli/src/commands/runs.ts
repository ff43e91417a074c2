import {
  findRun,
  listAttempts,
  listFailures,
  listRunAudit,
  listRuns,
  OPEN_STATES,
  RETRYABLE,
  type Retried,
  type RetryFilter,
  RUN_OUTCOMES,
  type RunStatus,
  type RunView,
} from '@nightshift/engine/accept';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { runText, statusText, time } from '../run-text.ts';
import { findTenant } from '../tenants.ts';
import { seconds, table } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Flags {
  job?: string;
  tenant?: string;
  status?: RunStatus;
  limit: number;
  json?: boolean;
}

/** Rows of each part of `runs show`. */
const PART = 100;

export function runsCommand(program: Command, cli: Cli): void {
  const runs = program.command('runs').description('list runs, newest first');
  runs
    .option('--job <job>')
    .option('--tenant <tenant>', 'slug, id or system/slug')
    .addOption(new Option('--status <status>').choices([...OPEN_STATES, ...RUN_OUTCOMES]))
    .option('--limit <rows>', 'at most', parseLimit, 20);
  cli.run(runs, (flags: Flags) => list(cli, flags));
  showCommand(runs, cli);
  cancelCommand(runs, cli);
  snoozeCommand(runs, cli);
  retryManyCommand(runs, cli);
  againCommand(runs, cli, 'retry', 'start an ended run again, as a new run linked to it');
  againCommand(runs, cli, 'replay', 'run the failed items of an ended run again, as a new run');
}

async function list(cli: Cli, flags: Flags) {
  return cli.withProducer(async (producer) => {
    if (flags.job !== undefined) producer.catalogue.get(flags.job);
    const tenant = flags.tenant === undefined ? null : await findTenant(producer, flags.tenant);
    const { items } = await listRuns(producer.pools, {
      tenantId: null,
      ofTenant: tenant?.id,
      job: flags.job,
      status: flags.status,
      limit: flags.limit,
    });
    cli.print(flags, items, runsTable);
    return EXIT.ok;
  });
}

function showCommand(runs: Command, cli: Cli): void {
  const command = runs.command('show').description('one run: attempts, item errors, audit').argument('<id>');
  cli.run(command, (id: string, flags: { json?: boolean }) =>
    cli.withProducer(async ({ pools }) => {
      const run = await findRun(pools, id, null);
      const [attempts, failures, audit] = await Promise.all([
        listAttempts(pools, id, null),
        listFailures(pools, id, null, { limit: PART }),
        listRunAudit(pools, id, null, { limit: PART }),
      ]);
      const shown = { ...run, attemptsList: attempts, failures: failures.items, audit: audit.items };
      cli.print(flags, shown, () => {
        const parts = [runText(run)];
        if (attempts.length > 1)
          parts.push(
            records('attempts', attempts, [
              'attempt',
              'outcome',
              'errorClass',
              'errorMessage',
              'worker',
              'endedAt',
              'retryAt',
            ]),
          );
        if (failures.items.length > 0)
          parts.push(records('item errors', failures.items, ['item', 'errorClass', 'errorMessage', 'attempt']));
        parts.push(records('audit', audit.items, ['at', 'actor', 'action', 'details']));
        return parts.join('\n\n');
      });
      return EXIT.ok;
    }),
  );
}

function cancelCommand(runs: Command, cli: Cli): void {
  const command = runs.command('cancel').description('cancel an open run').argument('<id>');
  cli.run(command, (id: string, flags: { json?: boolean }) =>
    cli.withProducer(async (producer) => {
      const status = await producer.cancel(id, cli.actor, null);
      cli.print(flags, { id, status }, () =>
        status === 'cancelled' ? `${id} is cancelled.` : `${id} stops at its next checkpoint.`,
      );
      return EXIT.ok;
    }),
  );
}

function againCommand(runs: Command, cli: Cli, action: 'retry' | 'replay', description: string): void {
  const command = runs.command(action).description(description).argument('<id>');
  cli.run(command, (id: string, flags: { json?: boolean }) =>
    cli.withProducer(async (producer) => {
      const accepted = await producer[action](id, cli.actor, null);
      cli.print(flags, accepted, () => `${accepted.id} ${accepted.status}`);
      return EXIT.ok;
    }),
  );
}

function snoozeCommand(runs: Command, cli: Cli): void {
  const command = runs
    .command('snooze')
    .description('put a waiting run off, for 30 days at most')
    .argument('<id>')
    .addOption(new Option('--until <instant>', 'ISO 8601 with a zone').argParser(parseInstant).conflicts('for'))
    .addOption(new Option('--for <minutes>', 'from now').argParser(parseMinutes));
  cli.run(command, (id: string, flags: { until?: Date; for?: number; json?: boolean }) =>
    cli.withProducer(async (producer) => {
      const until = flags.until;
      if (until === undefined && flags.for === undefined) throw new UsageError('Give --until or --for.');
      const put = await producer.snooze(
        id,
        until === undefined ? { forMs: (flags.for ?? 0) * 60_000 } : { until },
        cli.actor,
        null,
      );
      cli.print(flags, { id, ...put }, () => `${id} is put off until ${time(put.dueAt)}.`);
      return EXIT.ok;
    }),
  );
}

interface RetryFlags extends Omit<RetryFilter, 'status'> {
  status: RetryFilter['status'];
  json?: boolean;
}

function retryManyCommand(runs: Command, cli: Cli): void {
  const command = runs
    .command('retry-many')
    .description('start ended runs again that a filter names, each as a new run linked to it')
    .addOption(new Option('--status <status>').choices(RETRYABLE).default('failed'))
    .option('--job <job>')
    .option('--tenant <tenant>', 'slug, id or system/slug')
    .option('--since <instant>', 'accepted at or after', parseInstant)
    .option('--until <instant>', 'accepted before', parseInstant)
    .option('--limit <runs>', 'at most, the oldest first', parseLimit, 100)
    .option('--dry-run', 'only tell which')
    .option('--again', 'also those that have been retried before');
  cli.run(command, (flags: RetryFlags) =>
    cli.withProducer(async (producer) => {
      const { json: _, ...filter } = flags;
      const tenant = flags.tenant === undefined ? undefined : (await findTenant(producer, flags.tenant)).id;
      const limit = Math.min(flags.limit, 1_000);
      const retried = await producer.retryMany({ ...filter, tenant, limit }, cli.actor, null);
      cli.print(flags, retried, retriedText);
      return EXIT.ok;
    }),
  );
}

function retriedText({ count, dryRun, more, runs }: Retried): string {
  const lines = runs.map(
    (run) => `${run.id} ${run.refused === null ? (run.retryId ?? 'would be retried') : run.refused}`,
  );
  const rest = more ? '; more are left' : '';
  return [...lines, `${count} ${count === 1 ? 'run' : 'runs'} ${dryRun ? 'would be ' : ''}retried${rest}.`].join('\n');
}

function parseInstant(text: string): Date {
  const at = new Date(text);
  if (!/T.*(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(at.getTime()))
    throw new InvalidArgumentError('It must be like 2026-11-21T22:00:00Z.');
  return at;
}

function parseMinutes(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('It must be 1 to 43200.');
  return Number(text);
}

function runsTable(runs: readonly RunView[]): string {
  if (runs.length === 0) return 'No runs.';
  return table(
    ['run', 'job', 'tenant', 'status', 'items', 'errors', 'time', 'accepted'],
    runs.map((run) => [
      run.id,
      run.job,
      run.tenant ?? run.tenantId,
      statusText(run.status),
      String(run.processed),
      String(run.failedItems),
      run.durationMs === null ? '' : seconds(run.durationMs),
      time(run.acceptedAt),
    ]),
    ['items', 'errors', 'time'],
  );
}

/** Some fields of each row as a table. */
function records<Row extends object>(
  title: string,
  rows: readonly Row[],
  names: readonly (keyof Row & string)[],
): string {
  const cell = (value: unknown) => {
    if (value === null || value === undefined) return '';
    if (value instanceof Date) return time(value);
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  };
  const body = rows.map((row) => names.map((name) => cell(row[name])));
  return `${title}\n${table(names, body)}`;
}

export function parseLimit(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('It must be 1 to 9999.');
  return Number(text);
}
