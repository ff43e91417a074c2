import type { PoolClient } from '@nightshift/db';

// A run that waits for its retry is told by that retry's record: one that somebody put off, or that asks for a time, waits for another.
const RELEASE = `
UPDATE ops.open_runs o SET state = 'queued', due_at = clock_timestamp()
WHERE id = ANY ($1::uuid[]) AND (state = 'blocked' AND after_job IS NOT NULL AND snoozed_until IS NULL
  OR state = 'scheduled' AND $2 AND EXISTS (
    SELECT 1 FROM ops.attempts a WHERE a.run_id = o.id AND a.attempt = o.attempt - 1 AND a.retry_at = o.due_at))
RETURNING id`;

/**
 * Who asks for a run does not wait for the job before it: an open run of the same that waits for it starts at once. Who starts a job by hand or by
 * a drop-in call does not wait for its retry either; a producer that asks over and over must not undo the delays of its policy.
 * Resolves to the runs that are queued now.
 */
export async function releaseJoined(
  client: PoolClient,
  ids: readonly string[],
  whatIs: 'blocked' | 'blocked or scheduled',
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const { rows } = await client.query<{ id: string }>(RELEASE, [ids, whatIs === 'blocked or scheduled']);
  return new Set(rows.map((row) => row.id));
}
