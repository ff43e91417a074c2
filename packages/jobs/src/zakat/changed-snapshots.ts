import type { SweepContext } from '@nightshift/engine';

/** A snapshot as the database has it: amounts are envelopes. */
export interface ChangedSnapshot {
  readonly tenantId: string;
  readonly id: string;
}

/** What a summary is made from, and the summary there is. */
export interface SnapshotRecord extends ChangedSnapshot {
  readonly snapshotDate: string;
  readonly dayOffset: number;
  readonly currency: string;
  /** Decimal digits. */
  readonly revision: string;
  readonly zakatDueEnc: string;
  readonly payments: readonly { readonly id: string; readonly amountEnc: string }[];
  /** Null: none yet. */
  readonly summary: {
    readonly hijriYear: number;
    readonly currency: string;
    readonly zakatDueEnc: string;
    readonly paidEnc: string;
    readonly payments: number;
    readonly percent: string | null;
    readonly revision: string;
  } | null;
}

// Changed in the last 7 days (seed T077), or since its summary: a revision is counted by the database's triggers, so that a change that
// commits late, or while nothing runs for weeks, is not missed. Row-level security confines it to the users of the batch.
const CHANGED = `
  FROM zakat.snapshots AS snapshot
  LEFT JOIN zakat.annual_summaries AS summary ON summary.tenant_id = snapshot.tenant_id AND summary.snapshot_id = snapshot.id
  WHERE (snapshot.changed_at >= $1::timestamptz - interval '7 days' OR summary.snapshot_revision IS DISTINCT FROM snapshot.revision)`;

export async function countChangedSnapshots(ctx: SweepContext<unknown>): Promise<number> {
  const { rows } = await ctx.client.query<{ count: number }>(`SELECT count(*)::int AS count ${CHANGED}`, [ctx.now]);
  return rows[0]?.count ?? 0;
}

/** In order of user, so that each user's snapshots are met together; `after` is `<user>/<snapshot>`. */
export async function changedSnapshots(
  ctx: SweepContext<unknown>,
  after: string | null,
  limit: number,
): Promise<ChangedSnapshot[]> {
  const [tenantId = null, id = null] = after?.split('/') ?? [];
  const { rows } = await ctx.client.query<ChangedSnapshot>(
    `SELECT snapshot.tenant_id AS "tenantId", snapshot.id ${CHANGED}
       AND ($2::uuid IS NULL OR (snapshot.tenant_id, snapshot.id) > ($2::uuid, $3::uuid))
     ORDER BY snapshot.tenant_id, snapshot.id LIMIT $4`,
    [ctx.now, tenantId, id, limit],
  );
  return rows;
}

/** In one statement, so that revision and payments belong together. */
const RECORDS = `
  SELECT snapshot.tenant_id AS "tenantId", snapshot.id, snapshot.snapshot_date::text AS "snapshotDate", owner.day_offset AS "dayOffset",
    snapshot.currency, snapshot.revision::text AS revision, snapshot.zakat_due_enc AS "zakatDueEnc",
    (SELECT coalesce(json_agg(json_build_object('id', payment.id, 'amountEnc', payment.amount_enc) ORDER BY payment.id), '[]')
     FROM zakat.payments AS payment WHERE payment.tenant_id = snapshot.tenant_id AND payment.snapshot_id = snapshot.id) AS payments,
    CASE WHEN summary.snapshot_id IS NOT NULL THEN json_build_object('hijriYear', summary.hijri_year, 'currency', summary.currency,
      'zakatDueEnc', summary.zakat_due_enc, 'paidEnc', summary.paid_enc, 'payments', summary.payments,
      'percent', summary.percent_completed::text, 'revision', summary.snapshot_revision::text) END AS summary
  FROM unnest($1::uuid[], $2::uuid[]) AS wanted(tenant_id, id)
  JOIN zakat.snapshots AS snapshot ON snapshot.tenant_id = wanted.tenant_id AND snapshot.id = wanted.id
  JOIN zakat.users AS owner ON owner.tenant_id = snapshot.tenant_id
  LEFT JOIN zakat.annual_summaries AS summary ON summary.tenant_id = snapshot.tenant_id AND summary.snapshot_id = snapshot.id
  ORDER BY snapshot.tenant_id, snapshot.id`;

/** By user, in order. */
export async function recordsByUser(
  ctx: SweepContext<unknown>,
  snapshots: readonly ChangedSnapshot[],
): Promise<SnapshotRecord[][]> {
  const { rows } = await ctx.client.query<SnapshotRecord>(RECORDS, [
    snapshots.map((snapshot) => snapshot.tenantId),
    snapshots.map((snapshot) => snapshot.id),
  ]);
  const users: SnapshotRecord[][] = [];
  for (const row of rows) {
    const last = users.at(-1);
    if (last?.[0]?.tenantId === row.tenantId) last.push(row);
    else users.push([row]);
  }
  return users;
}
