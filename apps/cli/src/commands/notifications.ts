import {
  listNotifications,
  NOTIFICATION_CHANNELS,
  NOTIFICATION_STATES,
  type NotificationState,
  type NotificationView,
  resendNotification,
} from '@nightshift/engine/accept';
import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { type Cli, EXIT } from '../cli-context.ts';
import { time } from '../run-text.ts';
import { findTenant } from '../tenants.ts';
import { table } from '../terminal.ts';
import { parseLimit } from './runs.ts';

interface Flags {
  tenant?: string;
  job?: string;
  run?: string;
  channel?: NotificationView['channel'];
  state?: NotificationState;
  limit: number;
  json?: boolean;
}

/** `notifications` and `notifications resend`. */
export function notificationsCommand(program: Command, cli: Cli): void {
  const notifications = program
    .command('notifications')
    .description('mails and messages that runs made, newest first, with what became of each')
    .option('--tenant <tenant>', 'slug, id or system/slug')
    .option('--job <job>')
    .option('--run <id>', 'what this run made')
    .addOption(new Option('--channel <channel>').choices(NOTIFICATION_CHANNELS))
    .addOption(new Option('--state <state>').choices(NOTIFICATION_STATES))
    .option('--limit <rows>', 'at most', parseLimit, 20);
  cli.run(notifications, ({ tenant, run, json, ...filter }: Flags) =>
    cli.withProducer(async (producer) => {
      const ofTenant = tenant === undefined ? undefined : (await findTenant(producer, tenant)).id;
      const { items } = await listNotifications(producer.pools, { ...filter, ofTenant, runId: run, tenantId: null });
      cli.print({ ...(json === true ? { json } : {}) }, items, notificationsTable);
      return EXIT.ok;
    }),
  );
  const resend = notifications
    .command('resend')
    .description('send one again that failed, expired, was suppressed or is of unknown outcome')
    .argument('<id>');
  cli.run(resend, (id: string, flags: { json?: boolean }) =>
    cli.withProducer(async ({ pools }) => {
      await resendNotification(pools.ops, id, cli.actor, null);
      cli.print(flags, { resent: true }, () => `The notification ${id} waits to be sent again.`);
      return EXIT.ok;
    }),
  );
}

function notificationsTable(items: readonly NotificationView[]): string {
  if (items.length === 0) return 'There is no such notification.';
  return table(
    ['id', 'tenant', 'channel', 'template', 'state', 'tries', 'made', 'outcome'],
    items.map((one) => [
      one.id,
      one.tenant ?? '',
      one.channel,
      one.template,
      stateText(one.state),
      String(one.attempts),
      time(one.createdAt),
      one.outcome ?? '',
    ]),
  );
}

function stateText(state: NotificationState): string {
  switch (state) {
    case 'sent':
      return pc.green(state);
    case 'failed':
    case 'unknown':
      return pc.red(state);
    case 'expired':
    case 'suppressed':
      return pc.yellow(state);
    case 'waiting':
    case 'sending':
      return pc.cyan(state);
    default:
      return state satisfies never;
  }
}
