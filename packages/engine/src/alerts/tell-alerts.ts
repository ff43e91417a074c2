import type { FieldCrypto } from '@nightshift/db/crypto';
import { z } from 'zod';
import type { SqlClient } from '../define-job.ts';
import { html } from '../notifications/html.ts';
import { createNotify } from '../notifications/notify.ts';
import { defineTemplate, templatesByName } from '../notifications/template.ts';
import { priorityNumber } from '../priority.ts';
import { PLATFORM_TENANT } from '../tenants.ts';
import { SEVERITIES } from './raise-alert.ts';

/** Alerts that one mail lists; the others are a number in it. */
const LISTED = 50;
/** Alerts that one mail is about at most. */
const AT_ONCE = 1_000;

const alertData = z.object({
  severity: z.enum(SEVERITIES),
  message: z.string(),
  /** ISO 8601. */
  openedAt: z.string(),
  count: z.int(),
  /** Null: it is open. */
  resolvedBy: z.string().nullable(),
  /** Null where PUBLIC_URL is not set. */
  url: z.string().nullable(),
});
type AlertData = z.output<typeof alertData>;

/** Mail to those who run the installation: alerts that opened, or that ended, since the last look. */
export const alertsTemplate = defineTemplate({
  name: 'ops.alerts',
  data: z.object({ news: z.enum(['opened', 'resolved']), all: z.int(), alerts: z.array(alertData).min(1) }),
  subject({ news, all, alerts: [first] }) {
    const what = all === 1 ? first?.message : `${all} alerts, the first: ${first?.message}`;
    return news === 'opened' ? `[${first?.severity}] ${what}` : `Resolved: ${what}`;
  },
  text: ({ all, alerts }) =>
    `${alerts.map(textOf).join('\n\n')}\n${all > alerts.length ? `\n${unlisted(all, alerts)}\n` : ''}`,
  html: ({ all, alerts }) =>
    html`${alerts.map(
      (one) =>
        html`<p><strong>${one.severity}</strong> ${one.message}<br>${stateOf(one)}${
          one.url === null ? '' : html`<br><a href="${one.url}">${one.url}</a>`
        }</p>`,
    )}${all > alerts.length ? html`<p>${unlisted(all, alerts)}</p>` : ''}`,
});

function textOf(one: AlertData): string {
  return [`${one.severity}  ${one.message}`, stateOf(one), ...(one.url === null ? [] : [one.url])].join('\n');
}

function stateOf({ openedAt, count, resolvedBy }: AlertData): string {
  const seen = count === 1 ? '' : `, seen ${count} times`;
  const end = resolvedBy === null ? '' : resolvedBy === 'platform' ? ', over by itself' : `, resolved by ${resolvedBy}`;
  return `Opened ${openedAt}${seen}${end}.`;
}

function unlisted(all: number, listed: readonly unknown[]): string {
  return `${all - listed.length} more: nightshift alerts --all`;
}

export interface AlertMail {
  /** Mail addresses. */
  readonly to: readonly string[];
  /** Where the API is reached, without a path; absent: mails have no links. */
  readonly publicUrl?: string | undefined;
}

// Marked and written in one transaction: each opening and each end is told once. One that opened and ended between two looks is told as both
// at once; what was over for a day before anybody could be told is no news.
const OPENED = `
UPDATE ops.alerts a SET opening_told_at = clock_timestamp(), end_told_at = CASE WHEN state = 'resolved' THEN clock_timestamp() END
WHERE id IN (
  SELECT id FROM ops.alerts WHERE opening_told_at IS NULL AND (state <> 'resolved' OR opened_at > clock_timestamp() - interval '1 day')
  ORDER BY opened_at LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)`;
const RESOLVED = `
UPDATE ops.alerts a SET end_told_at = clock_timestamp()
WHERE id IN (
  SELECT id FROM ops.alerts WHERE state = 'resolved' AND opening_told_at IS NOT NULL AND end_told_at IS NULL
  ORDER BY resolved_at LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED)`;
const RETURNING = ` RETURNING id, severity, message, opened_at AS "openedAt", count, CASE WHEN state = 'resolved' THEN resolved_by END AS "resolvedBy"`;

interface Told {
  readonly id: string;
  readonly severity: AlertData['severity'];
  readonly message: string;
  readonly openedAt: Date;
  readonly count: number;
  readonly resolvedBy: string | null;
}

/** Writes a mail for each recipient about what opened, and one about what ended, into the outbox. In one transaction of the platform's role. */
export async function tellAlerts(
  client: SqlClient,
  crypto: Pick<FieldCrypto, 'encryptAll'>,
  mail: AlertMail,
): Promise<void> {
  const notify = createNotify(
    client,
    { templates: templatesByName([alertsTemplate]), crypto },
    { runId: null, job: null, priority: priorityNumber('HIGH'), dryRun: false },
  );
  for (const [news, statement] of [
    ['opened', OPENED],
    ['resolved', RESOLVED],
  ] as const) {
    const { rows } = await client.query<Told>(statement + RETURNING);
    const told = rows.toSorted(bySeverity);
    const [first] = told;
    if (first === undefined) continue;
    const alerts = told.slice(0, LISTED).map(({ id, openedAt, ...rest }) => ({
      ...rest,
      openedAt: openedAt.toISOString(),
      url: mail.publicUrl === undefined ? null : `${mail.publicUrl}/v1/alerts/${id}`,
    }));
    await notify(
      mail.to.map((to, i) => ({
        tenantId: PLATFORM_TENANT,
        dedupeKey: `alerts:${news}:${first.id}:${i}`,
        channel: 'email' as const,
        to,
        template: alertsTemplate.name,
        data: { news, all: told.length, alerts },
        userKey: null,
      })),
    );
  }
}

/** The gravest first, then the oldest. */
function bySeverity(a: Told, b: Told): number {
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || a.openedAt.getTime() - b.openedAt.getTime();
}
