import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet, startProxy, until } from '../bench/src/fleet/index.ts';

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ workers: 0 });
});

afterAll(() => fleet?.close());

test('a worker that has gone deaf exits with 70 and says why, and another one does the work', async () => {
  // The command that waits for work is swallowed, whenever it is tried again. Everything else gets through: dispatches are added, and the look
  // from outside sees them wait. (No probes: one would wait as well, and the worker might exit before the run is there.)
  const proxy = await startProxy(fleet.redis.proxy.port);
  proxy.swallow(/bzpopmin/i);
  const url = new URL(fleet.redis.url);
  url.port = String(proxy.port);
  const deaf = await fleet.addWorker({
    env: {
      REDIS_URL: url.href,
      NIGHTSHIFT_STUCK_SECONDS: '5',
      NIGHTSHIFT_CANARY_SECONDS: '0',
    },
    mayExit: 70,
  });
  const queues: unknown[] = (await fleet.caller.call('/v1/queues')).body.items;
  // And the schedules' one. Before, a queue's first look could still take what is there.
  await until('every queue to be waited for', async () => proxy.silent() > queues.length);
  const accepted = await fleet.caller.call('/v1/jobs/ops.canary/runs', { method: 'POST', body: { input: {} } });
  expect(accepted.status).toBe(202);

  expect(await deaf.exited).toEqual({ code: 70, signal: null });
  const said = deaf
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":60'))
    .map((line) => JSON.parse(line));
  expect(said).toMatchObject([
    { queue: 'ops', msg: 'this worker takes nothing although work waits and slots are free' },
    { queue: 'ops', exitCode: 70 },
  ]);
  await proxy.close();
  const before = await fleet.caller.call(`/v1/runs/${accepted.body.id}`);
  expect(before.body).toMatchObject({ status: 'dispatched', attempts: 1, crashes: 0 });

  const other = await fleet.addWorker();
  const run = await until('the run to complete', async () => {
    const { body } = await fleet.caller.call(`/v1/runs/${accepted.body.id}`);
    return body.endedAt === null ? null : body;
  });
  expect(run).toMatchObject({ status: 'completed', attempts: 1, crashes: 0 });
  expect(run.worker).toContain(`-${other.pid}-`);
});
