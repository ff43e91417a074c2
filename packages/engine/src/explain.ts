import type { Catalogue } from './catalogue.ts';
import { StoreUnavailableError } from './errors.ts';
import { type OpenFacts, readAhead, readFacts, type UpstreamRun } from './explain-facts.ts';
import { readLimits } from './limits/limits.ts';
import { rateFreeAt, readUsage } from './limits/usage.ts';
import { priorityName } from './priority.ts';
import { findRun, isStoreUnavailable, type Pools, type RunDetail } from './query/index.ts';
import { isEnded, type RunStatus } from './run-status.ts';

/** Why a run stands where it stands; stable. */
export const EXPLAIN_REASONS = [
  'ended', 'running', 'stopping', 'lease-expired', 'due-later', 'retry-later', 'snoozed', 'waiting-for-job', 'waiting-for-shards',
  'paused-queue', 'paused-job', 'paused-tenant', 'tenant-limit', 'job-limit', 'rate-limit', 'no-worker', 'unknown-to-workers', 'redis-down',
  'redis-emptied', 'behind-others', 'about-to-start',
] as const; // biome-ignore format: a list of words
export type ExplainReason = (typeof EXPLAIN_REASONS)[number];

export interface RunExplanation {
  readonly status: RunStatus;
  /** One sentence for a person. */
  readonly sentence: string;
  readonly reason: ExplainReason;
}

/** `emptied`: Redis answers, and is not the one that Postgres knew. */
export type BrokerState = 'ok' | 'down' | 'emptied';

/** One sentence on why a run isn't running, or how it runs. Errors: `UnknownRunError`, also for another tenant's; `StoreUnavailableError`. */
export async function explainRun(
  pools: Pools,
  catalogue: Catalogue,
  id: string,
  tenantId: string | null,
  brokerState: () => Promise<BrokerState>,
): Promise<RunExplanation> {
  try {
    return await explained(pools, catalogue, id, tenantId, brokerState);
  } catch (error) {
    if (isStoreUnavailable(error) && !(error instanceof StoreUnavailableError)) throw new StoreUnavailableError(error);
    throw error;
  }
}

async function explained(
  pools: Pools,
  catalogue: Catalogue,
  id: string,
  tenantId: string | null,
  brokerState: () => Promise<BrokerState>,
): Promise<RunExplanation> {
  const run = await findRun(pools, id, tenantId);
  const facts = isEnded(run.status) ? null : await readFacts(pools.ops, id);
  if (facts === null) return ended(isEnded(run.status) ? run : await findRun(pools, id, tenantId));
  const [reason, sentence] = (await byState(pools, catalogue, facts, brokerState)) ?? [
    'about-to-start',
    'It is about to start: a slot is free for it, or will be next.',
  ];
  return { status: facts.state, sentence, reason };
}

type Finding = readonly [ExplainReason, string];

async function byState(
  pools: Pools,
  catalogue: Catalogue,
  facts: OpenFacts,
  brokerState: () => Promise<BrokerState>,
): Promise<Finding | null> {
  switch (facts.state) {
    case 'running':
      return running(facts);
    case 'blocked':
      return blocked(facts);
    case 'scheduled':
      return facts.dueAt > facts.now ? later(facts) : noWorker(facts);
    case 'dispatched':
      return facts.locked
        ? ['running', 'A worker is executing it at this moment.']
        : (noWorker(facts) ?? redis(await brokerState()));
    case 'queued':
      return (
        paused(facts) ??
        noWorker(facts) ??
        redis(await brokerState()) ??
        (await limited(pools, catalogue, facts)) ??
        behind(await readAhead(pools.ops, facts))
      );
    default:
      return facts.state satisfies never;
  }
}

function running(facts: OpenFacts): Finding {
  const where = `worker ${facts.worker} since ${time(facts.attemptStartedAt)}`;
  if (facts.leaseUntil !== null && facts.leaseUntil < facts.now) {
    const when = `its lease ran out at ${time(facts.leaseUntil)}`;
    return [
      'lease-expired',
      `It ran on ${where} and ${when}: another worker goes on at its checkpoint within seconds.`,
    ];
  }
  if (facts.cancelRequestedAt !== null) {
    const who = `${facts.cancelActor} asked at ${time(facts.cancelRequestedAt)}`;
    return ['stopping', `It is cancelled as soon as the batch in hand on worker ${facts.worker} is done: ${who}.`];
  }
  const of = facts.expected === null ? '' : ` of ${facts.expected}`;
  const at = facts.processed === 0 && facts.expected === null ? '' : `, at ${facts.processed}${of} items`;
  return ['running', `It runs on ${where}${at}, with a lease until ${time(facts.leaseUntil)}.`];
}

function blocked(facts: OpenFacts): Finding | null {
  if (facts.afterJob === null) {
    const shards = facts.shards === 1 ? '1 shard' : `${facts.shards} shards`;
    return ['waiting-for-shards', `Its work is done by shards; not ended yet: ${shards}.`];
  }
  if (facts.snoozedUntil !== null && facts.snoozedUntil > facts.now) return snoozed(facts, facts.snoozedUntil);
  const { ahead } = facts;
  if (ahead !== null && (facts.afterJob === facts.job || (facts.upstream !== null && isEnded(facts.upstream.status))))
    return [
      'waiting-for-job',
      `It waits in line behind an earlier run of its job, which is ${ahead.status} (${ahead.id}).`,
    ];
  // Nobody is before it any more, or its upstream has ended: within a second it is queued.
  if (facts.afterJob === facts.job) return null;
  const date = facts.tickDate === null ? '' : ` of ${facts.tickDate}`;
  const until = `until ${time(facts.blockedUntil)} at the latest`;
  return [
    'waiting-for-job',
    `It waits for the run of ${facts.afterJob}${date}, ${upstream(facts.upstream)}, ${until}.`,
  ];
}

function upstream(run: UpstreamRun | null): string {
  return run === null ? 'which nobody has started' : `which is ${run.status} (${run.id})`;
}

function later(facts: OpenFacts): Finding {
  if (facts.snoozedBy !== null) return snoozed(facts, facts.dueAt);
  if (facts.attempt > 1) {
    const because = facts.lastError === null ? 'failed' : `failed with ${facts.lastError}`;
    return [
      'retry-later',
      `Attempt ${facts.attempt - 1} ${because}; attempt ${facts.attempt} is due at ${time(facts.dueAt)}.`,
    ];
  }
  return ['due-later', `It is due at ${time(facts.dueAt)}.`];
}

function snoozed(facts: OpenFacts, until: Date): Finding {
  return ['snoozed', `${facts.snoozedBy ?? 'Somebody'} put it off until ${time(until)}.`];
}

function paused({ pause }: OpenFacts): Finding | null {
  if (pause === null) return null;
  const why = pause.reason === null ? '' : ` (${pause.reason})`;
  return [`paused-${pause.kind}`, `Its ${pause.kind} is paused by ${pause.by} since ${time(pause.at)}${why}.`];
}

function noWorker({ workers, queue, job, inputVersion }: OpenFacts): Finding | null {
  if (workers.live === 0) return ['no-worker', `No live worker serves its queue '${queue}'.`];
  if (workers.version === null)
    return ['unknown-to-workers', `No live worker knows the job ${job}: an older build runs.`];
  if (workers.version >= inputVersion) return null;
  return [
    'unknown-to-workers',
    `Live workers read inputs of ${job} up to version ${workers.version}, and this one has version ${inputVersion}.`,
  ];
}

/** The limit that it waits for: one of runs in hand before one of starts. */
async function limited(pools: Pools, catalogue: Catalogue, facts: OpenFacts): Promise<Finding | null> {
  const limits = await readLimits(pools.ops, catalogue, facts.queue);
  if (limits === null) return null;
  const uses = (await readUsage(pools.ops, limits))(facts).filter((use) => use.used >= use.limit);
  const use = uses.find((one) => one.kind === 'concurrency') ?? uses[0];
  if (use === undefined) return null;
  const whose = { tenant: 'Its tenant', job: 'Its job', 'job-and-tenant': 'Its tenant, for this job,' }[use.of];
  if (use.kind === 'concurrency') {
    const reason = use.of === 'job' ? 'job-limit' : 'tenant-limit';
    return [reason, `${whose} is at its limit: ${use.used} of ${use.limit} runs are in hand.`];
  }
  const until = time(await rateFreeAt(pools.ops, use));
  return ['rate-limit', `${whose} is at its rate limit of ${use.limit} starts a minute until ${until}.`];
}

function redis(state: BrokerState): Finding | null {
  switch (state) {
    case 'ok':
      return null;
    case 'down':
      return ['redis-down', 'Redis does not answer: runs wait in Postgres until it does.'];
    case 'emptied':
      return ['redis-emptied', 'Redis came back empty: what it held is handed to it again within seconds.'];
    default:
      return state satisfies never;
  }
}

function behind(ahead: readonly { priority: number; runs: number; more: boolean }[]): Finding | null {
  const some = ahead.filter((one) => one.runs > 0);
  if (some.length === 0) return null;
  const parts = some.map(({ priority, runs, more }) => {
    const name = priorityName(priority);
    return `${more ? 'over ' : ''}${runs} ${runs === 1 ? 'run' : 'runs'} of priority ${name}`;
  });
  return ['behind-others', `It waits for its turn behind ${parts.join(' and ')}.`];
}

function ended(run: RunDetail): RunExplanation {
  const when = `at ${time(run.endedAt)}`;
  const errors = `${run.failedItems} failed ${run.failedItems === 1 ? 'item' : 'items'}`;
  const texts: Readonly<Partial<Record<RunStatus, string>>> = {
    completed: `It completed ${when}.`,
    completed_with_item_errors: `It completed ${when} with ${errors}.`,
    failed: `It failed ${when} after ${run.attempts} ${run.attempts === 1 ? 'attempt' : 'attempts'}: ${run.errorClass}.`,
    cancelled: `It was cancelled ${when}.`,
  };
  return { status: run.status, sentence: texts[run.status] ?? `It is ${run.status}.`, reason: 'ended' };
}

/** `2026-11-21 02:00:05Z`. */
function time(at: Date | null): string {
  if (at === null) return 'an unknown time';
  return at
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z/, 'Z');
}
