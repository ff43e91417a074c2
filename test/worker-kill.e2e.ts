import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, type Gym, startFleet, until, untilHalfway } from '../bench/src/fleet/index.ts';

const MEMBERS = 50_000;
const JOB = 'gym.commitment-scores';
/** Some eighty batches: long enough to be hit in the middle, without a delay that only costs time. */
const OPTIONS = { batchSize: 500, batchDelayMs: 20 };

let fleet: Fleet;
let gym: Gym;

beforeAll(async () => {
  fleet = await startFleet({ workers: 2, gyms: { count: 1, members: MEMBERS, days: 14 } });
  const [only] = fleet.gyms;
  if (only === undefined) throw new Error('the demo made no gym');
  gym = only;
});

afterAll(() => fleet?.close());

interface Run {
  readonly status: string;
  readonly attempts: number;
  readonly crashes: number;
  readonly processed: number;
  readonly expected: number;
  readonly changed: number;
  readonly worker: string;
}

interface Attempt {
  readonly outcome: string;
  readonly errorClass: string | null;
}

async function startScoring(): Promise<string> {
  const answer = await fleet.caller.call(`/v1/jobs/${JOB}/runs`, {
    method: 'POST',
    body: { tenant: gym.slug, options: OPTIONS },
  });
  expect(answer.status).toBe(202);
  return answer.body.id;
}

async function ended(id: string): Promise<{ run: Run; attempts: readonly Attempt[] }> {
  const run = await until('the run to end', async () => {
    const { body } = await fleet.caller.call(`/v1/runs/${id}`);
    return body.endedAt === null ? null : (body as Run);
  });
  const { body } = await fleet.caller.call(`/v1/runs/${id}/attempts`);
  return { run, attempts: body.items };
}

const open = () => fleet.admin.rows(`SELECT id FROM ops.run_view WHERE status IN ('running', 'dispatched')`);

test('a worker killed in the middle: another one resumes at the checkpoint, every member is scored once', async () => {
  await fleet.effects.reset();
  const id = await startScoring();
  const victim = await untilHalfway(fleet, id);
  await victim.kill();
  const before = await fleet.admin.rows<{ processed: number }>('SELECT processed FROM ops.open_runs WHERE id = $1', [
    id,
  ]);
  const { run, attempts } = await ended(id);

  const { activeMembers, missing, extra } = await fleet.effects.scorings(gym.id, 1);
  expect(activeMembers).toBeGreaterThan(MEMBERS / 2);
  expect({ missing, extra }).toEqual({ missing: 0, extra: 0 });
  expect(run).toMatchObject({ status: 'completed', crashes: 1, processed: activeMembers, expected: activeMembers });
  expect(run.changed).toBe(activeMembers);
  // Killed in the middle, and gone on from there rather than from the beginning.
  expect(before[0]?.processed).toBeGreaterThan(0);
  expect(before[0]?.processed).toBeLessThan(activeMembers);
  expect(run.worker).not.toContain(`-${victim.pid}-`);
  expect(attempts.map((attempt) => attempt.outcome)).toEqual(['crashed', 'completed']);
  expect(await open()).toEqual([]);
  await fleet.addWorker();
});

test('a worker told to stop: it checkpoints and exits at once, no attempt is counted', async () => {
  await fleet.effects.reset();
  const id = await startScoring();
  const victim = await untilHalfway(fleet, id);
  expect(await victim.stop()).toEqual({ code: 0, signal: null });
  const { run, attempts } = await ended(id);

  const { activeMembers, missing, extra } = await fleet.effects.scorings(gym.id, 1);
  expect({ missing, extra }).toEqual({ missing: 0, extra: 0 });
  expect(run).toMatchObject({ status: 'completed', attempts: 1, crashes: 0, processed: activeMembers });
  expect(run.worker).not.toContain(`-${victim.pid}-`);
  expect(attempts.map((attempt) => attempt.outcome)).toEqual(['interrupted', 'completed']);
  expect(await open()).toEqual([]);
  // It signed off: nobody has to wait for its silence.
  expect(await fleet.admin.rows('SELECT id FROM ops.workers WHERE pid = $1', [victim.pid])).toEqual([]);
});
