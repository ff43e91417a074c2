import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, type Gym, startFleet, until } from '../bench/src/fleet/index.ts';

const JOB = 'gym.commitment-scores';

let fleet: Fleet;
let gym: Gym;
let broken: { id: string; number: string };

beforeAll(async () => {
  fleet = await startFleet({ workers: 1, gyms: { count: 2, members: 300 } });
  const [first] = fleet.gyms;
  if (first === undefined) throw new Error('the demo made no gym');
  gym = first;
  // In the middle of a batch, so that it has neighbours on both sides.
  const [row] = await fleet.admin.rows<{ id: string; number: string }>(
    `UPDATE gym.members SET joined_on = current_date + 3650
     WHERE tenant_id = $1 AND id = (SELECT id FROM gym.members WHERE tenant_id = $1 AND status = 'active' ORDER BY id OFFSET 70 LIMIT 1)
     RETURNING id, number`,
    [gym.id],
  );
  if (row === undefined) throw new Error('the gym has no active member');
  broken = row;
});

afterAll(() => fleet?.close());

async function expectOthersScored(): Promise<void> {
  const { missing, extra } = await fleet.effects.scorings(gym.id, 1);
  expect({ missing, extra }).toEqual({ missing: 1, extra: 0 });
  const scored = await fleet.admin.rows('SELECT 1 FROM sink.scored WHERE member_id = $1', [broken.id]);
  expect(scored).toEqual([]);
}

test('one broken row: its neighbours are scored, the run ends with item errors that name the member', async () => {
  await fleet.effects.reset();
  const { status, body } = await fleet.caller.call(`/v1/jobs/${JOB}/runs`, {
    method: 'POST',
    body: { tenant: gym.slug, options: { batchSize: 50, batchDelayMs: 0 } },
  });
  expect(status).toBe(202);
  const run = await until('the run to end', async () => {
    const answer = await fleet.caller.call(`/v1/runs/${body.id}`);
    return answer.body.endedAt === null ? null : answer.body;
  });
  await expectOthersScored();
  expect(run).toMatchObject({ status: 'completed_with_item_errors', failedItems: 1, attempts: 1 });
  expect(run.result).toMatchObject({
    membersProcessed: run.expected,
    membersUpdated: run.expected - 1,
    totalErrors: 1,
  });
  const { body: failures } = await fleet.caller.call(`/v1/runs/${body.id}/failures`);
  expect(failures.items).toEqual([expect.objectContaining({ item: broken.id, errorClass: 'BrokenMemberError' })]);
  expect(failures.items[0].errorMessage).toContain('correct joined_on');
});

test('the same over the drop-in path: 200, success, one error, the member named', async () => {
  await fleet.effects.reset();
  const { status, body } = await fleet.caller.call('/api/cron/commitment-scores', {
    method: 'POST',
    token: fleet.cronSecret,
    timeoutMs: 60_000,
  });
  expect(status).toBe(200);
  await expectOthersScored();
  expect(body).toMatchObject({ success: true, job: JOB, totalErrors: 1 });
  expect(body.errors).toEqual([
    { tenant: gym.slug, item: broken.id, error: expect.stringContaining('correct joined_on') },
  ]);
  const statuses = Object.fromEntries(
    body.tenants.map((one: { tenant: string; status: string }) => [one.tenant, one.status]),
  );
  expect(statuses).toEqual(
    Object.fromEntries(
      fleet.gyms.map(({ slug }) => [slug, slug === gym.slug ? 'completed_with_item_errors' : 'completed']),
    ),
  );
});
