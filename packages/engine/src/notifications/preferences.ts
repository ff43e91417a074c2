import { inTransaction, isUuid, type Pool } from '@nightshift/db';
import { z } from 'zod';
import { InvalidInputError, UnknownTenantError } from '../errors.ts';
import { fieldProblems } from '../new-run.ts';
import { storeErrors } from '../store-errors.ts';
import { CHANNELS, type ChannelName } from './notify.ts';

const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time like 22:00');

/** What a user wants of a channel. It replaces what the user wanted before. */
export const preferenceSchema = z
  .strictObject({
    userKey: z.string().min(1).max(200).describe('The user, as the job’s messages name it: its id in the system.'),
    channel: z.enum(CHANNELS),
    enabled: z.boolean().default(true).describe('False: messages are made and not sent.'),
    quietFrom: clockTime
      .nullable()
      .default(null)
      .describe('Local time of the tenant; CRITICAL messages go out all the same.'),
    quietUntil: clockTime.nullable().default(null).describe('May be past midnight.'),
  })
  .superRefine(({ quietFrom, quietUntil }, context) => {
    const problem =
      (quietFrom === null) !== (quietUntil === null)
        ? 'quiet hours need both quietFrom and quietUntil'
        : quietFrom !== null && quietFrom === quietUntil
          ? 'quiet hours that begin and end at once are all day or none: set enabled to false instead'
          : null;
    if (problem !== null) context.addIssue({ code: 'custom', message: problem, path: ['quietUntil'] });
  });
export type NewPreference = z.input<typeof preferenceSchema>;

/** Times as `22:00`, in the tenant's zone. */
export interface PreferenceView {
  readonly tenantId: string;
  /** Slug; null when the tenant is gone. */
  readonly tenant: string | null;
  readonly userKey: string;
  readonly channel: ChannelName;
  readonly enabled: boolean;
  readonly quietFrom: string | null;
  readonly quietUntil: string | null;
  readonly updatedAt: Date;
}

export const PREFERENCE_COLUMNS = `p.tenant_id AS "tenantId", t.slug AS tenant, p.user_key AS "userKey", p.channel, p.enabled,
  to_char(p.quiet_from, 'HH24:MI') AS "quietFrom", to_char(p.quiet_until, 'HH24:MI') AS "quietUntil", p.updated_at AS "updatedAt"`;

const SET = `
WITH p AS (
  INSERT INTO ops.notification_preferences AS p (tenant_id, user_key, channel, enabled, quiet_from, quiet_until)
  SELECT id, $2, $3, $4, $5::time, $6::time FROM ops.tenants WHERE id = $1 AND kind = 'tenant'
  ON CONFLICT (tenant_id, user_key, channel) DO UPDATE SET enabled = excluded.enabled, quiet_from = excluded.quiet_from,
    quiet_until = excluded.quiet_until, updated_at = clock_timestamp()
  RETURNING *
)
SELECT ${PREFERENCE_COLUMNS} FROM p JOIN ops.tenants t ON t.id = p.tenant_id`;

/**
 * Sets what a user of the tenant (id) wants of a channel, on record. It holds for messages that wait already.
 * Errors: `InvalidInputError`, `UnknownTenantError`, `StoreUnavailableError`.
 */
export async function setPreference(
  ops: Pool,
  tenantId: string,
  given: NewPreference,
  actor: string,
): Promise<PreferenceView> {
  const parsed = preferenceSchema.safeParse(given);
  if (!parsed.success) throw new InvalidInputError('The preference cannot be set', fieldProblems(parsed.error));
  const { userKey, channel, enabled, quietFrom, quietUntil } = parsed.data;
  if (!isUuid(tenantId)) throw new UnknownTenantError(tenantId, 'any');
  return storeErrors(() =>
    inTransaction(ops, [], async (client) => {
      const { rows } = await client.query<PreferenceView>(SET, [
        tenantId,
        userKey,
        channel,
        enabled,
        quietFrom,
        quietUntil,
      ]);
      const [preference] = rows;
      if (preference === undefined) throw new UnknownTenantError(tenantId, 'any');
      await client.query(
        `INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, 'notification.preference_set', $3)`,
        [preference.tenantId, actor, JSON.stringify(parsed.data)],
      );
      return preference;
    }),
  );
}
