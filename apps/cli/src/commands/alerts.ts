import { type AlertView, findAlert, listAlerts } from '@nightshift/engine/accept';
import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { type Cli, EXIT } from '../cli-context.ts';
import { time } from '../run-text.ts';
import { count, table } from '../terminal.ts';

interface Flags {
  all?: boolean;
  severity?: AlertView['severity'];
  job?: string;
  json?: boolean;
}

/** `alerts`, `alerts acknowledge` and `alerts resolve`. */
export function alertsCommand(program: Command, cli: Cli): void {
  const alerts = program
    .command('alerts')
    .description('what a person should know about, newest first')
    .option('--all', 'resolved ones too')
    .addOption(new Option('--severity <severity>', 'of this severity').choices(['CRITICAL', 'WARNING', 'INFO']))
    .option('--job <job>', 'of this job');
  cli.run(alerts, (flags: Flags) =>
    cli.withProducer(async ({ pools }) => {
      const filter = { limit: SHOWN, tenantId: null, severity: flags.severity, job: flags.job };
      const states = flags.all ? [undefined] : (['open', 'acknowledged'] as const);
      const pages = await Promise.all(states.map((state) => listAlerts(pools, { ...filter, state })));
      const shown = pages
        .flatMap((page) => page.items)
        .sort((a, b) => b.openedAt.getTime() - a.openedAt.getTime())
        .slice(0, SHOWN);
      cli.print(flags, shown, (list) => (list.length === 0 ? 'No alerts.' : alertsTable(list)));
      return EXIT.ok;
    }),
  );
  answer(alerts, cli, 'acknowledge', 'say that somebody looks after it');
  answer(alerts, cli, 'resolve', 'call it over; seen again, it is a new alert');
}

/** Most that are listed. */
const SHOWN = 200;

function answer(alerts: Command, cli: Cli, name: 'acknowledge' | 'resolve', description: string): void {
  const command = alerts.command(name).description(description).argument('<id>', 'of the alert');
  cli.run(command, (id: string, flags: Flags) =>
    cli.withProducer(async (producer) => {
      await producer.alerts[name](id, cli.actor, null);
      const alert = await findAlert(producer.pools, id, null);
      cli.print(flags, alert, () => `${alert.state} by ${alert.resolvedBy ?? alert.acknowledgedBy}: ${alert.message}`);
      return EXIT.ok;
    }),
  );
}

function alertsTable(alerts: readonly AlertView[]): string {
  return table(
    ['alert', 'severity', 'state', 'seen', 'last', 'message'],
    alerts.map((one) => [
      one.id,
      severityText(one.severity),
      one.acknowledgedBy !== null && one.state === 'acknowledged' ? `acknowledged by ${one.acknowledgedBy}` : one.state,
      count(one.count),
      time(one.lastSeenAt),
      one.message,
    ]),
    ['seen'],
  );
}

function severityText(severity: AlertView['severity']): string {
  switch (severity) {
    case 'CRITICAL':
      return pc.red(severity);
    case 'WARNING':
      return pc.yellow(severity);
    case 'INFO':
      return severity;
    default:
      return severity satisfies never;
  }
}
