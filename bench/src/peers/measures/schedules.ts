import { setTimeout as wait } from 'node:timers/promises';
import { type Measured, quantile } from '../sample.ts';
import { type Bench, withSession } from '../session.ts';

/** Time given to whatever a worker does about new schedules before they are due, ms: mirroring 10,000 of them in Redis takes seconds. */
const MIRROR_PATIENCE_MS = 120_000;
/** How long after being set they are due, s. */
const DUE_IN_SECONDS = 3;
const LOOK_EVERY_MS = 10;

/** Many schedules, each of another tenant, due in the same second: how late their runs are committed. Nightshift alone. */
export function schedules(bench: Bench): Promise<Measured> {
  const admin = bench.platform.nightshiftAdmin;
  const count = bench.sizes.schedules;
  return withSession(bench, 'nightshift', { consumers: 1, warmUp: 'noop' }, async (session) => {
    await admin.query(
      `INSERT INTO ops.schedules (id, job, tenant_selector, cron, zone, next_due_at)
       SELECT gen_random_uuid(), 'bench.noop', jsonb_build_object('only', jsonb_build_array(id)), '0 0 1 1 *', 'UTC', now() + interval '1 year'
       FROM unnest($1::uuid[]) AS id`,
      [bench.platform.tenants.slice(0, count)],
    );
    await admin.query('VACUUM (ANALYZE) ops.schedules');
    await session.start('noop');
    await untilMirrored(bench, count);
    const meter = session.meter();
    const { rows } = await admin.query<{ inMs: number }>(
      `UPDATE ops.schedules SET next_due_at = date_trunc('second', now()) + interval '${DUE_IN_SECONDS} seconds'
       RETURNING extract(epoch FROM next_due_at - clock_timestamp())::float8 * 1000 AS "inMs"`,
    );
    const dueAt = performance.now() + (rows.at(-1)?.inMs ?? 0);
    const lateMs = await watchTriggers(bench, count, dueAt);
    await session.untilHandled(count);
    const begun = performance.now() - dueAt;
    return {
      figures: { p50: quantile(lateMs, 0.5), p99: quantile(lateMs, 0.99), max: Math.max(...lateMs), begun },
      otherLoad: meter().otherLoad,
    };
  });
}

async function untilMirrored(bench: Bench, count: number): Promise<void> {
  const until = performance.now() + MIRROR_PATIENCE_MS;
  while (performance.now() < until) {
    if ((await bench.platform.redis.zcard('{bench:schedules}:schedules:repeat')) >= count) return;
    await wait(100);
  }
  throw new Error(`fewer than ${count} schedules were mirrored within ${MIRROR_PATIENCE_MS / 1_000} s`);
}

/** A trigger and its runs commit together: the lateness of each, by looking how many another session sees. */
async function watchTriggers(bench: Bench, count: number, dueAt: number): Promise<number[]> {
  const late: number[] = [];
  while (late.length < count) {
    const { rows } = await bench.platform.nightshiftAdmin.query<{ n: number }>(
      'SELECT sum(expected_runs)::integer AS n FROM ops.triggers',
    );
    const at = performance.now() - dueAt;
    while (late.length < (rows[0]?.n ?? 0)) late.push(at);
    if (at > MIRROR_PATIENCE_MS) throw new Error(`${late.length} of ${count} schedules fired`);
    await wait(LOOK_EVERY_MS);
  }
  return late;
}
