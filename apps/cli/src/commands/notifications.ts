import {
  listNotifications,
  listPreferences,
  NOTIFICATION_CHANNELS,
  NOTIFICATION_STATES,
  type NotificationState,
  type NotificationView,
  type PreferenceView,
  resendNotification,
  setPreference,
} from '@nightshift/engine/accept';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
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

/** `notifications`, and below it `resend`, `preferences` and `prefer`. */
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
  preferencesCommands(notifications, cli);
}

interface PreferFlags {
  off?: boolean;
  quiet?: readonly [string, string];
  json?: boolean;
}

// The tenant is an argument: an option of the name is taken by the command above.
function preferencesCommands(notifications: Command, cli: Cli): void {
  const list = notifications
    .command('preferences')
    .description('users of a tenant who want less than everything, by channel')
    .argument('<tenant>', 'slug, id or system/slug');
  cli.run(list, (tenant: string, flags: { json?: boolean }) =>
    cli.withProducer(async (producer) => {
      const { id } = await findTenant(producer, tenant);
      const { items } = await listPreferences(producer.pools, { tenantId: id, limit: SHOWN });
      cli.print(flags, items, preferencesTable);
      return EXIT.ok;
    }),
  );
  const prefer = notifications
    .command('prefer')
    .description('set what a user wants of a channel; without an option: everything, at any hour')
    .argument('<tenant>', 'slug, id or system/slug')
    .argument('<user>', 'as the messages name it: its id in the system')
    .addArgument(new Argument('<channel>').choices(NOTIFICATION_CHANNELS))
    .option('--off', 'nothing at all')
    .option('--quiet <from-until>', 'not in these hours of the tenant, such as 22:00-07:00', parseHours);
  cli.run(prefer, (tenant: string, userKey: string, channel: PreferenceView['channel'], flags: PreferFlags) =>
    cli.withProducer(async (producer) => {
      const { id } = await findTenant(producer, tenant);
      const [quietFrom, quietUntil] = flags.quiet ?? [null, null];
      const wish = { userKey, channel, enabled: flags.off !== true, quietFrom, quietUntil };
      const preference = await setPreference(producer.pools.ops, id, wish, cli.actor);
      cli.print(flags, preference, (one) => preferencesTable([one]));
      return EXIT.ok;
    }),
  );
}

/** Most that are listed. */
const SHOWN = 200;

function parseHours(text: string): readonly [string, string] {
  const [, from, until] = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text) ?? [];
  if (from === undefined || until === undefined) throw new InvalidArgumentError('Expected hours like 22:00-07:00.');
  return [from, until];
}

function preferencesTable(items: readonly PreferenceView[]): string {
  if (items.length === 0) return 'Everybody wants everything, at any hour.';
  return table(
    ['user', 'channel', 'wants', 'not between', 'since'],
    items.map((one) => [
      one.userKey,
      one.channel,
      one.enabled ? 'yes' : 'none',
      one.quietFrom === null ? '' : `${one.quietFrom} and ${one.quietUntil}`,
      time(one.updatedAt),
    ]),
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
