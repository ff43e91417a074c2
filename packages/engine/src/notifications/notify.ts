import type { FieldCrypto } from '@nightshift/db/crypto';
import { nearest } from '../check-declaration.ts';
import type { SqlClient } from '../define-job.ts';
import { newId } from '../id.ts';
import { type Priority, priorityNumber } from '../priority.ts';
import { storableJson } from '../storable.ts';
import { NotificationCapError, UnknownTemplateError, UnstorableDataError } from './notification-errors.ts';
import { checkedData, type Template } from './template.ts';

export const CHANNELS = ['email', 'whatsapp', 'webhook'] as const;
export type ChannelName = (typeof CHANNELS)[number];

/** Something to be sent once the transaction in hand has committed. */
export interface NewNotification {
  readonly tenantId: string;
  /** Unique for ever within the tenant: `hearing-reminder:<hearing>:<user>:email:<starts at ISO>`. Not encrypted: ids, no personal data. */
  readonly dedupeKey: string;
  readonly channel: ChannelName;
  /** Mail address, E.164 number, or https URL; stored encrypted. */
  readonly to: string;
  /** Name of a template of the catalogue. */
  readonly template: string;
  /** What the template is filled with; stored encrypted, as JSON. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Default the run's. */
  readonly priority?: Priority;
  /** Not sent before; not sent after (it ends `expired`). */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** User it is for, for the preferences; null: a system address. */
  readonly userKey?: string | null;
  /** Of a bundle's runs the one that it belongs to; default the first. */
  readonly runId?: string;
}

export interface Notified {
  /** Rows made; a message whose key exists is left out. In a dry run: rows that would be made. */
  readonly created: number;
}

/** Writes messages in the transaction in hand. Errors: `UnknownTemplateError`, `InvalidInputError` for data that doesn't fit, `NotificationCapError`. */
export type Notify = (messages: readonly NewNotification[]) => Promise<Notified>;

export interface NotifyDeps {
  readonly templates: ReadonlyMap<string, Template>;
  readonly crypto: Pick<FieldCrypto, 'encryptAll'>;
  /** Rows were written; must not throw. They can be sent only after the commit. */
  readonly notified?: () => void;
}

/** Who makes the messages. */
export interface Origin {
  /** Null: the platform itself. */
  readonly runId: string | null;
  readonly job: string | null;
  readonly priority: number;
  readonly dryRun: boolean;
  /** Most messages that the run may make, over all its batches. */
  readonly cap?: number | undefined;
}

/** Where envelopes of this table belong. */
export const TO_PLACE = 'ops.notifications.to_enc';
export const DATA_PLACE = 'ops.notifications.data_enc';

/** Messages a statement, so that the arrays of a big batch stay small. */
const AT_ONCE = 5_000;

/** `ctx.notify` of a handler. The transaction must be that of the messages' tenants, or of the platform's role. */
export function createNotify(client: SqlClient, deps: NotifyDeps, origin: Origin): Notify {
  return async (messages) => {
    const checked = messages.map((message) => checkedMessage(deps, message));
    let created = 0;
    for (let from = 0; from < checked.length; from += AT_ONCE) {
      const fresh = await withoutKnown(client, checked.slice(from, from + AT_ONCE));
      created += origin.dryRun ? fresh.length : await insert(client, deps, origin, fresh);
    }
    if (created > 0 && origin.cap !== undefined) await checkCap(client, origin, origin.cap, created, messages);
    if (created > 0 && !origin.dryRun) deps.notified?.();
    return { created };
  };
}

interface Checked {
  readonly message: NewNotification;
  readonly json: string;
}

function checkedMessage({ templates }: NotifyDeps, message: NewNotification): Checked {
  const template = templates.get(message.template);
  if (template === undefined)
    throw new UnknownTemplateError(message.template, nearest(message.template, [...templates.keys()]));
  const stored = storableJson(message.data);
  if ('problem' in stored) throw new UnstorableDataError(message.template, stored.problem);
  // What is stored is what will be read back, perhaps by another build: dates are texts by then.
  checkedData(template, JSON.parse(stored.json));
  return { message, json: stored.json };
}

/** The messages whose keys nobody has used, each key once. The insert decides again: another run may be writing the same. */
async function withoutKnown(client: SqlClient, checked: readonly Checked[]): Promise<Checked[]> {
  const { rows } = await client.query<{ place: number }>(
    `SELECT min(g.place)::integer AS place FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS g(tenant_id, dedupe_key, place)
     WHERE NOT EXISTS (SELECT 1 FROM ops.notifications n WHERE n.tenant_id = g.tenant_id AND n.dedupe_key = g.dedupe_key)
     GROUP BY g.tenant_id, g.dedupe_key ORDER BY 1`,
    [checked.map(({ message }) => message.tenantId), checked.map(({ message }) => message.dedupeKey)],
  );
  return rows.flatMap(({ place }) => checked[place - 1] ?? []);
}

// A user who wants none of the channel has the row all the same, with its reason: somebody may ask why no mail came.
const INSERT = `
INSERT INTO ops.notifications (id, tenant_id, run_id, job, dedupe_key, channel, template, user_key, priority, due_at, not_after, to_enc, data_enc,
  state, outcome, ended_at)
SELECT g.id, g.tenant_id, g.run_id, $1, g.dedupe_key, g.channel, g.template, g.user_key, g.priority,
  coalesce(g.not_before, clock_timestamp()), g.not_after, g.to_enc, g.data_enc,
  CASE WHEN p.enabled IS false THEN 'suppressed' ELSE 'waiting' END,
  CASE WHEN p.enabled IS false THEN 'the user wants no ' || g.channel END,
  CASE WHEN p.enabled IS false THEN clock_timestamp() END
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::smallint[], $10::timestamptz[],
  $11::timestamptz[], $12::text[], $13::text[]) AS g(id, tenant_id, run_id, dedupe_key, channel, template, user_key, priority, not_before,
  not_after, to_enc, data_enc)
LEFT JOIN ops.notification_preferences p ON p.tenant_id = g.tenant_id AND p.user_key = g.user_key AND p.channel = g.channel
ON CONFLICT (tenant_id, dedupe_key) DO NOTHING`;

async function insert(
  client: SqlClient,
  { crypto }: NotifyDeps,
  origin: Origin,
  fresh: readonly Checked[],
): Promise<number> {
  if (fresh.length === 0) return 0;
  const ids = fresh.map(() => newId());
  const ref = (message: NewNotification, i: number, place: string) => ({
    tenantId: message.tenantId,
    place,
    row: ids[i] ?? '',
  });
  const envelopes = await crypto.encryptAll([
    ...fresh.map(({ message }, i) => ({ ref: ref(message, i, TO_PLACE), plain: message.to })),
    ...fresh.map(({ message, json }, i) => ({ ref: ref(message, i, DATA_PLACE), plain: json })),
  ]);
  const column = <T>(pick: (message: NewNotification) => T): T[] => fresh.map(({ message }) => pick(message));
  const { rowCount } = await client.query(INSERT, [
    origin.job,
    ids,
    column((m) => m.tenantId),
    column((m) => m.runId ?? origin.runId),
    column((m) => m.dedupeKey),
    column((m) => m.channel),
    column((m) => m.template),
    column((m) => m.userKey ?? null),
    column((m) => (m.priority === undefined ? origin.priority : priorityNumber(m.priority))),
    column((m) => m.notBefore ?? null),
    column((m) => m.notAfter ?? null),
    envelopes.slice(0, fresh.length),
    envelopes.slice(fresh.length),
  ]);
  return rowCount ?? 0;
}

/** Counts what the runs have made, this call's rows among them. In a dry run nothing is stored, and only this call can be counted. */
async function checkCap(
  client: SqlClient,
  origin: Origin,
  cap: number,
  created: number,
  messages: readonly NewNotification[],
): Promise<void> {
  if (origin.dryRun) {
    if (created > cap) throw new NotificationCapError(origin.job, cap, created);
    return;
  }
  const runs = [...new Set(messages.map((message) => message.runId ?? origin.runId))];
  const { rows } = await client.query<{ made: number }>(
    'SELECT count(*)::integer AS made FROM ops.notifications WHERE run_id = ANY ($1) GROUP BY run_id ORDER BY 1 DESC LIMIT 1',
    [runs],
  );
  const made = rows[0]?.made ?? 0;
  if (made > cap) throw new NotificationCapError(origin.job, cap, made);
}
