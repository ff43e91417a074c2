import { inTransaction, isUuid, type Pool } from '@nightshift/db';
import { storeErrors } from '../store-errors.ts';
import type { SendOutcome } from './channel.ts';
import { channelAlerts } from './channel-alerts.ts';
import { NotificationStateError, UnknownNotificationError } from './notification-errors.ts';
import type { ChannelName } from './notify.ts';

// The only writer of a notification after it was made. Whoever claims a row holds it by its count of attempts: a row that has been claimed
// again belongs to somebody else.

/**
 * How long a claimed row is left to its worker, s: twice what sending may take. Then the worker is taken for dead, and nobody knows whether
 * the message went out.
 */
const LEASE_SECONDS = 60;
/** Tenants that one claim takes turns among. */
const TENANTS_A_CLAIM = 64;

export interface ClaimedNotification {
  readonly id: string;
  readonly tenantId: string;
  readonly runId: string | null;
  readonly job: string | null;
  readonly dedupeKey: string;
  readonly channel: ChannelName;
  readonly template: string;
  /** Of all attempts, this one included. */
  readonly attempts: number;
  /** Since somebody last asked for it to be sent. */
  readonly tries: number;
  readonly createdAt: Date;
  readonly toEnc: string;
  readonly dataEnc: string;
}

export interface Claim {
  readonly rows: ClaimedNotification[];
  /** Rows that were due, with those that ended or were put off without being sent. */
  readonly seen: number;
  /** True: other tenants, whom this claim did not get to, may have something due. */
  readonly more: boolean;
  /** Set when the rate limit left no room: ms until there is some. */
  readonly waitMs: number | null;
}

// From the tenant served last on, and round. One lateral a tenant and priority: each reads no further in the index than it may take. Within a
// priority tenants take turns.
const CLAIM = `
WITH RECURSIVE tenants AS (
  SELECT $2::uuid AS tenant_id, false AS wrapped, 0 AS place
  UNION ALL
  SELECT coalesce(next.tenant_id, first.tenant_id), t.wrapped OR next.tenant_id IS NULL, t.place + 1
  FROM tenants t
  LEFT JOIN LATERAL (SELECT n.tenant_id FROM ops.notifications n WHERE n.channel = $1 AND n.state = 'waiting' AND n.tenant_id > t.tenant_id
    ORDER BY n.tenant_id LIMIT 1) next ON true
  LEFT JOIN LATERAL (SELECT n.tenant_id FROM ops.notifications n WHERE n.channel = $1 AND n.state = 'waiting' AND next.tenant_id IS NULL
    AND NOT t.wrapped ORDER BY n.tenant_id LIMIT 1) first ON true
  WHERE t.place < ${TENANTS_A_CLAIM} AND coalesce(next.tenant_id, first.tenant_id) IS NOT NULL
    AND NOT ((t.wrapped OR next.tenant_id IS NULL) AND coalesce(next.tenant_id, first.tenant_id) > $2)
), page AS (
  SELECT tenant_id, place FROM tenants WHERE place > 0
), turns AS (
  SELECT due.id, page.tenant_id, p.priority, due.turn, page.place FROM page CROSS JOIN generate_series(1, 4) AS p(priority) CROSS JOIN LATERAL (
    SELECT id, row_number() OVER (ORDER BY due_at, id) AS turn FROM ops.notifications n
    WHERE channel = $1 AND state = 'waiting' AND tenant_id = page.tenant_id AND n.priority = p.priority AND due_at <= clock_timestamp()
    ORDER BY due_at, id LIMIT $3
  ) due ORDER BY p.priority, due.turn, page.place LIMIT $3
), picked AS (
  SELECT n.id, n.tenant_id, n.user_key, n.channel, n.priority, n.not_after FROM ops.notifications n JOIN turns ON turns.id = n.id
  WHERE n.state = 'waiting' FOR UPDATE OF n SKIP LOCKED
), quiet AS (
  SELECT picked.*, p.enabled, CASE WHEN picked.priority > 1 THEN ops.quiet_until(clock_timestamp(), t.zone, p.quiet_from, p.quiet_until) END AS until
  FROM picked JOIN ops.tenants t ON t.id = picked.tenant_id
  LEFT JOIN ops.notification_preferences p ON p.tenant_id = picked.tenant_id AND p.user_key = picked.user_key AND p.channel = picked.channel
), judged AS (
  SELECT id, channel, until, CASE
    WHEN not_after <= clock_timestamp() THEN 'expired'
    WHEN enabled IS false THEN 'suppressed'
    WHEN until > clock_timestamp() THEN 'waiting'
    ELSE 'sending' END AS state FROM quiet
), put AS (
  UPDATE ops.notifications n SET state = j.state, worker = $4,
    due_at = CASE j.state WHEN 'waiting' THEN j.until ELSE n.due_at END,
    attempts = n.attempts + (j.state = 'sending')::integer, tries = n.tries + (j.state = 'sending')::integer,
    lease_until = CASE j.state WHEN 'sending' THEN clock_timestamp() + interval '${LEASE_SECONDS} seconds' END,
    ended_at = CASE WHEN j.state IN ('expired', 'suppressed') THEN clock_timestamp() END,
    outcome = CASE j.state WHEN 'expired' THEN 'it could not be sent before it was too late' WHEN 'suppressed' THEN 'the user wants no ' || j.channel
      ELSE n.outcome END
  FROM judged j WHERE n.id = j.id RETURNING n.*
)
SELECT (SELECT count(*)::integer FROM page) AS tenants, (SELECT count(*)::integer FROM put) AS seen,
  coalesce((SELECT tenant_id FROM turns ORDER BY priority DESC, turn DESC, place DESC LIMIT 1), (SELECT tenant_id FROM page ORDER BY place DESC LIMIT 1),
    $2) AS cursor,
  (SELECT jsonb_agg(jsonb_build_object('id', put.id, 'tenantId', put.tenant_id, 'runId', run_id, 'job', job, 'dedupeKey', dedupe_key,
    'channel', channel, 'template', template, 'attempts', attempts, 'tries', tries, 'createdAt', extract(epoch FROM created_at) * 1000,
    'toEnc', to_enc, 'dataEnc', data_enc) ORDER BY turns.priority, turns.turn, turns.place)
   FROM put JOIN turns ON turns.id = put.id WHERE put.state = 'sending') AS rows`;

/**
 * Takes up to `most` due messages of a channel, no more than the channel's rate allows the fleet. Those that nobody wants, that are too late or
 * that meet quiet hours are ended or put off instead.
 */
export async function claimNotifications(
  ops: Pool,
  by: { worker: string; channel: ChannelName; most: number; perSecond: number },
): Promise<Claim> {
  return inTransaction(ops, [], async (client) => {
    // A second's worth may be saved up. The row's lock lasts to the commit: one claim of a channel at a time.
    const { rows: buckets } = await client.query<{ tokens: number; cursor: string }>(
      `UPDATE ops.notification_channels SET refilled_at = clock_timestamp(),
         tokens = least(greatest($2::float8, 1), tokens + extract(epoch FROM clock_timestamp() - refilled_at) * $2::float8)
       WHERE channel = $1 RETURNING tokens, tenant_cursor AS cursor`,
      [by.channel, by.perSecond],
    );
    const { tokens, cursor } = buckets[0] ?? { tokens: 0, cursor: '00000000-0000-0000-0000-000000000000' };
    const room = Math.min(by.most, Math.floor(tokens));
    if (room < 1) return { rows: [], seen: 0, more: false, waitMs: Math.ceil(((1 - tokens) / by.perSecond) * 1_000) };
    const { rows } = await client.query<Found>(CLAIM, [by.channel, cursor, room, by.worker]);
    const found = rows[0] ?? { tenants: 0, seen: 0, cursor, rows: null };
    const claimed = (found.rows ?? []).map((row) => ({ ...row, createdAt: new Date(row.createdAt) }));
    await client.query(
      'UPDATE ops.notification_channels SET tokens = tokens - $2, tenant_cursor = $3 WHERE channel = $1',
      [by.channel, claimed.length, found.cursor],
    );
    return { rows: claimed, seen: found.seen, more: found.tenants === TENANTS_A_CLAIM, waitMs: null };
  });
}

interface Found {
  readonly tenants: number;
  readonly seen: number;
  readonly cursor: string;
  readonly rows: (Omit<ClaimedNotification, 'createdAt'> & { readonly createdAt: number })[] | null;
}

/** Channels that have something due. */
export async function dueChannels(ops: Pick<Pool, 'query'>): Promise<ChannelName[]> {
  const { rows } = await ops.query<{ channel: ChannelName }>(
    `SELECT c.channel FROM ops.notification_channels c
     WHERE EXISTS (SELECT FROM ops.notifications n WHERE n.channel = c.channel AND n.state = 'waiting' AND n.due_at <= clock_timestamp())`,
  );
  return rows.map((row) => row.channel);
}

/** What is written of an attempt; `retryMs` puts the row back as waiting. */
export interface Verdict {
  readonly state: 'sent' | 'failed' | 'unknown' | 'suppressed' | 'waiting';
  readonly retryMs: number | null;
  readonly errorClass: string | null;
  readonly outcome: string;
  readonly providerId: string | null;
}

export function verdictOf(outcome: SendOutcome, retryMs: number | null): Verdict {
  const base = { retryMs: null, providerId: null, errorClass: null, outcome: outcome.answer };
  switch (outcome.kind) {
    case 'sent':
      return { ...base, state: 'sent', providerId: outcome.providerId };
    case 'again':
      return { ...base, state: retryMs === null ? 'failed' : 'waiting', retryMs, errorClass: outcome.errorClass };
    case 'failed':
    case 'unknown':
      return { ...base, state: outcome.kind, errorClass: outcome.errorClass };
    default:
      return outcome satisfies never;
  }
}

// A worker whose lease ran out, and who knows after all how it ended, corrects 'unknown'; a row claimed again it leaves alone.
const RECORD = `
WITH put AS (
  UPDATE ops.notifications SET state = $3, lease_until = NULL, error_class = $4, outcome = $5, provider_id = coalesce($6, provider_id),
    due_at = CASE WHEN $3 = 'waiting' THEN clock_timestamp() + make_interval(secs => $7::float8 / 1000) ELSE due_at END,
    sent_at = CASE WHEN $3 = 'sent' THEN clock_timestamp() END, ended_at = CASE WHEN $3 <> 'waiting' THEN clock_timestamp() END
  WHERE id = $1 AND attempts = $2 AND state IN ('sending', 'unknown')
  RETURNING id, tenant_id, run_id, dedupe_key, attempts, state, error_class, outcome, channel
), failed AS (
  INSERT INTO ops.item_failures (run_id, item_key, tenant_id, error_class, error_message, attempt, notification_id)
  SELECT run_id, 'notification:' || dedupe_key, tenant_id, error_class, channel || ' not delivered: ' || outcome, attempts, id FROM put
  WHERE state = 'failed' AND run_id IS NOT NULL
  ON CONFLICT (run_id, item_key) DO UPDATE SET error_class = excluded.error_class, error_message = excluded.error_message,
    attempt = excluded.attempt, at = clock_timestamp()
), delivers AS (
  UPDATE ops.alerts SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = 'platform'
  WHERE $3 = 'sent' AND key = ANY ($8) AND state <> 'resolved'
    AND last_seen_at < (SELECT lease_until - interval '${LEASE_SECONDS} seconds' FROM ops.notifications WHERE id = $1)
)
SELECT id FROM put`;

/**
 * Writes what became of an attempt; a permanent failure also stands among the failures of the run that made it. What was claimed after the
 * channel's alerts were last seen, and was delivered, ends them. False: the message is another's.
 */
export async function recordSent(
  ops: Pick<Pool, 'query'>,
  claimed: Pick<ClaimedNotification, 'id' | 'attempts' | 'channel'>,
  verdict: Verdict,
): Promise<boolean> {
  const { rowCount } = await ops.query(RECORD, [
    claimed.id,
    claimed.attempts,
    verdict.state,
    verdict.errorClass,
    verdict.outcome,
    verdict.providerId,
    verdict.retryMs,
    channelAlerts(claimed.channel),
  ]);
  return (rowCount ?? 0) > 0;
}

/**
 * Rows whose worker died while it sent. Receivers of a webhook tell a repetition by its key, so it is sent again; of anything else nobody
 * knows whether it was delivered. Resolves to the number that ended `unknown`.
 */
export async function recoverLost(ops: Pick<Pool, 'query'>): Promise<number> {
  const { rows } = await ops.query<{ state: string }>(
    `UPDATE ops.notifications n SET lease_until = NULL, error_class = 'WorkerDiedError',
       state = CASE WHEN n.channel = 'webhook' THEN 'waiting' ELSE 'unknown' END,
       ended_at = CASE WHEN n.channel = 'webhook' THEN NULL ELSE clock_timestamp() END,
       outcome = 'the worker died while it was being sent'
     FROM (SELECT id FROM ops.notifications WHERE state = 'sending' AND lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED) lost
     WHERE n.id = lost.id RETURNING n.state`,
  );
  return rows.filter((row) => row.state === 'unknown').length;
}

/** Deletes rows that ended so long ago, some thousand a statement. */
export async function deleteExpired(ops: Pick<Pool, 'query'>, days: number): Promise<number> {
  for (let deleted = 0; ; ) {
    const { rowCount } = await ops.query(
      `DELETE FROM ops.notifications WHERE id IN (SELECT id FROM ops.notifications WHERE ended_at < clock_timestamp() - make_interval(days => $1) LIMIT 5000)`,
      [days],
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < 5_000) return deleted;
  }
}

/**
 * Sends again what failed, is of unknown outcome, expired or was suppressed: a person's decision, on record. `tenantId` null: any tenant's.
 * Errors: `UnknownNotificationError`, also for another tenant's; `NotificationStateError`; `StoreUnavailableError`.
 */
export async function resendNotification(ops: Pool, id: string, actor: string, tenantId: string | null): Promise<void> {
  if (!isUuid(id)) throw new UnknownNotificationError(id);
  await storeErrors(() =>
    inTransaction(ops, [], async (client) => {
      const { rows } = await client.query<{ state: string; tenant_id: string; run_id: string | null }>(
        'SELECT state, tenant_id, run_id FROM ops.notifications WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) FOR UPDATE',
        [id, tenantId],
      );
      const [row] = rows;
      if (row === undefined) throw new UnknownNotificationError(id);
      if (!['failed', 'unknown', 'expired', 'suppressed'].includes(row.state))
        throw new NotificationStateError(id, row.state);
      await client.query(
        `UPDATE ops.notifications SET state = 'waiting', tries = 0, due_at = clock_timestamp(), ended_at = NULL, not_after = NULL,
           error_class = NULL, outcome = NULL WHERE id = $1`,
        [id],
      );
      await client.query(
        `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details) VALUES ($1, $2, 'notification.resent', $3, $4)`,
        [row.tenant_id, actor, row.run_id, JSON.stringify({ notification: id, was: row.state })],
      );
    }),
  );
}
