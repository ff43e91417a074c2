import type { BackFill, PreviewTick } from '@nightshift/engine/accept';
import { type Command, InvalidArgumentError } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { pickSchedule, readSchedules } from '../pick-schedule.ts';
import { time } from '../run-text.ts';
import { table } from '../terminal.ts';

interface PreviewFlags {
  json?: boolean;
  count: number;
  from?: Date;
}

interface BackFillFlags {
  json?: boolean;
  from: Date;
  to: Date;
  apply?: boolean;
  again?: boolean;
  maxTicks: number;
}

const MARKS = {
  'gap-moved': 'the clock skips its time: moved to the end of the gap',
  'repeated-first': 'the clock shows this time twice: first pass',
  'repeated-second': 'the clock shows this time twice: second pass',
  'skipped-gap': 'the clock skips its time: does not fire',
} as const;

/** What a schedule will do, and what it should have done. */
export function schedulePlanCommands(schedules: Command, cli: Cli): void {
  const preview = schedules
    .command('preview')
    .description('show the ticks to come, with the days marked on which the clock changes')
    .argument('<schedule>', 'its id, or the name of its job')
    .option('--count <n>', 'ticks to show', wholeNumber, 20)
    .option('--from <instant>', 'ticks after this; ISO 8601, a date alone is midnight UTC', instant);
  cli.run(preview, (idOrJob: string, flags: PreviewFlags) =>
    cli.withProducer(async (producer) => {
      const { id } = pickSchedule(await readSchedules(producer), idOrJob);
      cli.print(flags, await producer.schedules.preview(id, { count: flags.count, from: flags.from }), previewTable);
      return EXIT.ok;
    }),
  );
  const backFill = schedules
    .command('back-fill')
    .description('make the runs of a past range of ticks; without --apply only show them')
    .argument('<schedule>', 'its id, or the name of its job')
    .requiredOption('--from <instant>', 'first tick at this or later; ISO 8601, a date alone is midnight UTC', instant)
    .requiredOption('--to <instant>', 'last tick before this', instant)
    .option('--apply', 'make the runs')
    .option('--again', 'also where a tenant has a run of the tick already')
    .option('--max-ticks <n>', 'refuse a range with more ticks', wholeNumber, 100);
  cli.run(backFill, (idOrJob: string, { apply, from, to, again, maxTicks, json }: BackFillFlags) =>
    cli.withProducer(async (producer) => {
      const { id } = pickSchedule(await readSchedules(producer), idOrJob);
      const request = { from, to, again, maxTicks, dryRun: apply !== true };
      cli.print({ json: json === true }, await producer.schedules.backFill(id, request, cli.actor), backFillText);
      return EXIT.ok;
    }),
  );
}

function previewTable(ticks: readonly PreviewTick[]): string {
  return table(
    ['due', 'local time', 'zone', 'tenants', 'clock'],
    ticks.map((tick) => [
      time(tick.dueAt),
      tick.localTime.replace('T', ' '),
      tick.zone,
      String(tick.tenants),
      tick.dst === null ? '' : MARKS[tick.dst],
    ]),
    ['tenants'],
  );
}

function backFillText(filled: BackFill): string {
  const rows = filled.ticks.map((tick) => {
    const earlier = tick.tenants.filter((tenant) => tenant.earlier !== null).length;
    return [
      time(tick.dueAt),
      tick.date,
      tick.recorded === null ? 'not recorded' : tick.recorded.state,
      String(tick.tenants.length),
      earlier === 0 ? '' : `${earlier} have a run of it`,
    ];
  });
  const said = filled.dryRun
    ? `${filled.runs} runs of ${filled.job} would be made. Add --apply to make them.`
    : `${filled.runs} runs of ${filled.job} were made.`;
  return `${table(['due', 'date', 'tick', 'tenants', ''], rows, ['tenants'])}\n${said}`;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000)
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000.');
  return value;
}

function instant(text: string): Date {
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text);
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const value = new Date(text);
  if ((!isDate && !isInstant) || Number.isNaN(value.getTime()))
    throw new InvalidArgumentError(
      'Expected a date or an instant with its zone, such as 2026-05-01 or 2026-05-01T02:00:00Z.',
    );
  return value;
}
