import type { Metered } from '../cpu.ts';
import { monotonicMs, type Work } from '../payload.ts';
import { cpuFigures, type Measured } from '../sample.ts';
import { type Bench, type Session, warmUpCount, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

interface DrainOptions {
  readonly work: Work;
  readonly count: number;
  readonly consumers: number;
  /** Workers' shares of warm-up, which wait before what is measured; default one each. */
  readonly warmUps?: number;
  /** Done before there is a backlog; what it answers is done when the workers are through. */
  readonly meanwhile?: () => Promise<() => Promise<void>>;
}

/**
 * A backlog, then workers: from when they are through with as many as warm them up to nothing left. They are not stopped in between:
 * a worker that has just started has new connections, which plan their statements and map Postgres' memory anew.
 */
async function drain(bench: Bench, system: SystemName, options: DrainOptions): Promise<Measured> {
  const { work, count, consumers, warmUps = consumers } = options;
  const ahead = warmUpCount(system, bench.sizes, warmUps);
  return withSession(bench, system, { consumers, warmUp: null }, async (session) => {
    const after = (await options.meanwhile?.()) ?? (async () => undefined);
    try {
      await session.fill({ work, from: bench.sizes.update, count: ahead });
      await session.fill({ work, count });
      await session.store.settle();
      await session.start(work);
      await session.untilHandled(ahead);
      const [at, before] = [monotonicMs(), session.handled()];
      const measured = await untilDrained(session, {
        all: ahead + count,
        before,
        since: () => at,
        meter: session.meter(),
      });
      if (work !== 'noop') await checkRows(bench, system, ahead + count);
      return measured;
    } finally {
      await after();
    }
  });
}

/** To nothing left. Of `all` jobs so many were begun `before` what is measured; `since`: when that began, asked when all is done. */
async function untilDrained(
  session: Session,
  { all, before, since, meter }: { all: number; before: number; since: () => number; meter: () => Metered },
): Promise<Measured> {
  await session.untilHandled(all);
  const emptyAt = await session.untilEmpty();
  const metered = meter();
  const again = session.handled() - all;
  if (again > 0) throw new Error(`${session.system}: ${again} jobs ran twice`);
  const rate = (all - before) / ((emptyAt - since()) / 1_000);
  return { figures: { rate, ...cpuFigures(metered, all - before) }, otherLoad: metered.otherLoad };
}

/** Every job changed its row once. */
async function checkRows(bench: Bench, system: SystemName, expected: number): Promise<void> {
  const admin = system === 'nightshift' ? bench.platform.nightshiftAdmin : bench.platform.peersAdmin;
  const { rows } = await admin.query<{ n: number }>('SELECT sum(n)::integer AS n FROM bench.rows');
  if (rows[0]?.n !== expected) throw new Error(`${system}: ${rows[0]?.n} changes of rows, expected ${expected}`);
}

/** A tenth of the jobs for the one that is ten times as slow. */
function scaled(system: SystemName, count: number): number {
  return system === 'bullmq-postgres' ? Math.ceil(count / 10) : count;
}

export function drainNoop(bench: Bench, system: SystemName): Promise<Measured> {
  return drain(bench, system, { work: 'noop', count: scaled(system, bench.sizes.drain), consumers: 1 });
}

export function drainNoopByFour(bench: Bench, system: SystemName): Promise<Measured> {
  return drain(bench, system, { ...ofFour(bench, system), consumers: 4 });
}

/** What the four are compared with: the same backlog behind the same warm-up, which make tables and caches as large. */
export function drainNoopOfFour(bench: Bench, system: SystemName): Promise<Measured> {
  return drain(bench, system, { ...ofFour(bench, system), consumers: 1 });
}

/** A fleet's dispatches are twice as large: after one share each of its workers has seen half as many, and code that is still being compiled. */
const FLEET_WARM_UPS = 2;

function ofFour(bench: Bench, system: SystemName) {
  return { work: 'noop', count: scaled(system, bench.sizes.drain * 4), warmUps: 4 * FLEET_WARM_UPS } as const;
}

export function drainUpdate(bench: Bench, system: SystemName): Promise<Measured> {
  const work = system === 'pg-boss-batch' ? 'update-batch' : 'update';
  const share = system === 'nightshift' || system === 'pg-boss-batch' ? 1 : 0.4;
  return drain(bench, system, { work, count: scaled(system, bench.sizes.update * share), consumers: 1 });
}

/**
 * Many tenants with few runs each: nothing to bundle much of. From the first begun by a worker that has just started: with more
 * before these, each tenant would have more than a few.
 */
export function drainManyTenants(bench: Bench, system: SystemName): Promise<Measured> {
  const { manyTenants, runsEach } = bench.sizes;
  const count = manyTenants * runsEach;
  return withSession(bench, system, { consumers: 1, warmUp: 'noop' }, async (session) => {
    await session.fill({ work: 'noop', count, tenants: manyTenants });
    await session.store.settle();
    const meter = session.meter();
    await session.start('noop');
    return untilDrained(session, { all: count, before: 0, since: session.firstAt, meter });
  });
}

/** As a long report or a backup does: rows that die meanwhile cannot be taken away. */
export function drainUnderSnapshot(bench: Bench, system: SystemName): Promise<Measured> {
  const admin = system === 'nightshift' ? bench.platform.nightshiftAdmin : bench.platform.peersAdmin;
  const meanwhile = async () => {
    const client = await admin.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query('SELECT count(*) FROM bench.rows');
    return async () => {
      await client.query('COMMIT');
      client.release();
    };
  };
  return drain(bench, system, { work: 'noop', count: bench.sizes.drain, consumers: 1, meanwhile });
}
