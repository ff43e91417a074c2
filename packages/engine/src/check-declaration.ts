import { distance } from 'fastest-levenshtein';
import type { Job } from './define-job.ts';
import { DeclarationError } from './errors.ts';
import { MAX_DELAY_MS } from './policy.ts';
import { PRIORITIES } from './priority.ts';
import { cronProblem, DST_RULES, zoneProblem } from './schedule/cron.ts';

const COMMON = [
  'kind', 'name', 'title', 'description', 'scope', 'priority', 'retry', 'schedule', 'typicalMs', 'maxMs', 'input', 'inputVersion',
  'upgrade', 'options', 'limits', 'access', 'encrypts', 'decrypts', 'maxNotifications', 'ofOneTenant',
]; // biome-ignore format: a list of words
const OWN: Readonly<Record<Job['kind'], readonly string[]>> = {
  request: ['before', 'handle', 'sweep', 'personalResult'],
  sweep: ['count', 'items', 'key', 'shards', 'untilEmpty', 'tenantOf', 'process', 'summarize'],
  task: ['outsideEffects', 'snapshots', 'run', 'personalResult'],
};
const NEEDED: Readonly<Record<Job['kind'], readonly string[]>> = {
  request: ['handle'],
  sweep: ['items', 'key', 'process', 'summarize'],
  task: ['run'],
};

/** Errors: `DeclarationError` with every problem of the declaration, each with the value found and one that would work. */
export function checkDeclaration(job: Job): void {
  const problems = [...nameProblems(job), ...fieldProblems(job), ...numberProblems(job), ...scheduleProblems(job)];
  if (problems.length > 0) throw new DeclarationError(`Job '${job.name}' is not declared right`, problems);
}

function* nameProblems(job: Job): Generator<string> {
  if (!/^[a-z]+\.[a-z]+(-[a-z]+)*$/.test(job.name))
    yield `expected a name like 'gym.commitment-scores', got '${job.name}'`;
  if (!PRIORITIES.includes(job.priority)) yield `expected priority ${PRIORITIES.join(', ')}, got '${job.priority}'`;
  if (job.scope !== 'tenant' && job.scope !== 'system') yield `expected scope 'tenant' or 'system', got '${job.scope}'`;
}

function* fieldProblems(job: Job): Generator<string> {
  const own = OWN[job.kind];
  if (own === undefined) {
    yield `expected kind 'request', 'sweep' or 'task', got '${job.kind}'`;
    return;
  }
  const known = [...COMMON, ...own];
  for (const field of Object.keys(job)) {
    if (!known.includes(field)) yield `unknown option '${field}'${suggestion(field, known)}`;
  }
  for (const field of NEEDED[job.kind]) {
    if (typeof (job as unknown as Record<string, unknown>)[field] !== 'function')
      yield `a ${job.kind} needs a function '${field}'`;
  }
  if ((job.inputVersion ?? 1) > 1 && job.upgrade === undefined)
    yield `inputVersion ${job.inputVersion} needs 'upgrade' for older inputs`;
  if (job.kind === 'sweep' && job.scope === 'system' && job.tenantOf === undefined)
    yield `a sweep of system scope needs 'tenantOf'`;
  if (job.ofOneTenant !== undefined && (job.scope !== 'system' || job.kind === 'sweep'))
    yield `'ofOneTenant' is for requests and tasks of system scope: a job of scope 'tenant' has a tenant always`;
  if (job.access !== undefined && job.access !== 'platform' && job.access !== 'admin')
    yield `expected access 'platform' or 'admin', got '${job.access}'`;
  if (job.kind === 'request' && job.sweep !== undefined) yield* sweepFormProblems(job, job.sweep);
}

function* sweepFormProblems(job: Job, sweep: object): Generator<string> {
  const known = OWN.sweep.filter((field) => field !== 'tenantOf');
  for (const field of Object.keys(sweep)) {
    if (!known.includes(field)) yield `unknown option 'sweep.${field}'${suggestion(field, known)}`;
  }
  for (const field of NEEDED.sweep) {
    if (typeof (sweep as Record<string, unknown>)[field] !== 'function') yield `'sweep' needs a function '${field}'`;
  }
  if (job.scope === 'system') yield `'sweep' of a request job is for tenant scope`;
}

function* numberProblems(job: Job): Generator<string> {
  const numbers: [string, number | undefined, number, number?][] = [
    ['typicalMs', job.typicalMs, 1],
    ['maxMs', job.maxMs, 1],
    ['inputVersion', job.inputVersion, 1],
    ['retry.retries', job.retry?.retries, 0],
    ['retry.delayMs', job.retry?.delayMs, 0, MAX_DELAY_MS],
    ['options.batchSize', job.options?.batchSize, 1],
    ['options.batchDelayMs', job.options?.batchDelayMs, 0],
    ['options.timeoutMs', job.options?.timeoutMs, 100, 86_400_000],
    ['maxNotifications', job.maxNotifications, 1],
    ['limits.concurrency', job.limits?.concurrency, 1],
    ['limits.perMinute', job.limits?.perMinute, 1],
    ['limits.perTenantConcurrency', job.limits?.perTenantConcurrency, 1],
    ['shards.items', job.kind === 'sweep' ? job.shards?.items : undefined, 1],
  ];
  for (const [name, value, least, most = Number.POSITIVE_INFINITY] of numbers) {
    if (value !== undefined && (!Number.isInteger(value) || value < least)) {
      yield `expected ${name} to be an integer ≥ ${least}, got ${JSON.stringify(value)}`;
    } else if (value !== undefined && value > most) {
      yield `expected ${name} to be at most ${most}, got ${JSON.stringify(value)}`;
    }
  }
}

function* scheduleProblems(job: Job): Generator<string> {
  if (job.schedule === undefined) return;
  const cron = cronProblem(job.schedule.cron);
  if (cron !== null) yield `schedule.cron '${job.schedule.cron}': ${cron}`;
  const zone = job.schedule.zone === 'tenant' ? null : zoneProblem(job.schedule.zone);
  if (zone !== null) yield `schedule.zone '${job.schedule.zone}': ${zone}`;
  if (job.schedule.dst !== undefined && !DST_RULES.includes(job.schedule.dst))
    yield `expected schedule.dst ${DST_RULES.join(', ')}, got '${job.schedule.dst}'`;
  if (job.schedule.after === job.name) yield `schedule.after names the job itself`;
}

/** ", did you mean 'x'?" when one of the known words is near. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === null ? '' : `, did you mean '${near}'?`;
}

/** The known word within a third of its letters of `word`, or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const d = distance(word, candidate);
    if (d < least) [best, least] = [candidate, d];
  }
  return best !== null && least <= Math.max(2, Math.ceil(best.length / 3)) ? best : null;
}
