import type { Work } from '../payload.ts';
import { cpuFigures, type Measured } from '../sample.ts';
import { type Bench, type Session, TENANTS, warmUpCount, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

interface DrainOptions {
  readonly work: Work;
  readonly count: number;
  readonly consumers: number;
  /** Workers' shares of warm-up; default one each. */
  readonly warmUps?: number;
  readonly tenants?: number;
  /** Done with the backlog in place, right before the workers start; what it answers is done when they are through. */
  readonly meanwhile?: () => Promise<() => Promise<void>>;
}

/** A backlog, then workers: from the first job begun to nothing left. */
async function drain(bench: Bench, system: SystemName, options: DrainOptions): Promise<Measured> {
  const { work, count, consumers } = options;
  const { warmUps = consumers } = options;
  return withSession(bench, system, { consumers, warmUp: work, warmUps }, async (session) => {
    const after = (await options.meanwhile?.()) ?? (async () => undefined);
    try {
      await session.fill({ work, count, tenants: options.tenants ?? TENANTS });
      await session.store.settle();
      return await drainFilled(bench, session, options);
    } finally {
      await after();
    }
  });
}

async function drainFilled(bench: Bench, session: Session, { work, count }: DrainOptions): Promise<Measured> {
  const meter = session.meter();
  await session.start(work);
  await session.untilHandled(count);
  const emptyAt = await session.untilEmpty();
  const metered = meter();
  const seconds = (emptyAt - session.firstAt()) / 1_000;
  const again = session.handled() - count;
  if (again > 0) throw new Error(`${session.system}: ${again} jobs ran twice`);
  if (work !== 'noop') await checkRows(bench, session.system, count);
  return { figures: { rate: count / seconds, ...cpuFigures(metered, count) }, otherLoad: metered.otherLoad };
}

/** Every job changed its row once, those of the warm-up too. */
async function checkRows(bench: Bench, system: SystemName, count: number): Promise<void> {
  const admin = system === 'nightshift' ? bench.platform.nightshiftAdmin : bench.platform.peersAdmin;
  const { rows } = await admin.query<{ n: number }>('SELECT sum(n)::integer AS n FROM bench.rows');
  const expected = count + warmUpCount(system, bench.sizes, 1);
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

/** Each of four workers as many as the one has alone: what a start costs is four times as much. */
function ofFour(bench: Bench, system: SystemName) {
  return { work: 'noop', count: scaled(system, bench.sizes.drain * 4), warmUps: 4 } as const;
}

export function drainUpdate(bench: Bench, system: SystemName): Promise<Measured> {
  const work = system === 'pg-boss-batch' ? 'update-batch' : 'update';
  const share = system === 'nightshift' || system === 'pg-boss-batch' ? 1 : 0.4;
  return drain(bench, system, { work, count: scaled(system, bench.sizes.update * share), consumers: 1 });
}

/** Many tenants with few runs each: nothing to bundle much of. */
export function drainManyTenants(bench: Bench, system: SystemName): Promise<Measured> {
  const { manyTenants, runsEach } = bench.sizes;
  return drain(bench, system, { work: 'noop', count: manyTenants * runsEach, consumers: 1, tenants: manyTenants });
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
