import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet } from '../bench/src/fleet/index.ts';
import { replaySeed, SEEDS, type Site } from '../bench/src/seeds/index.ts';

let fleet: Fleet;
let site: Site;

beforeAll(async () => {
  fleet = await startFleet({ workers: 2, gyms: { count: 2, members: 120 } });
  site = {
    apiUrl: fleet.apis()[0]?.url ?? '',
    cronSecret: fleet.cronSecret,
    functionsApiKey: fleet.functionsApiKey,
    token: fleet.caller.token,
    rows: fleet.admin.rows,
    workerLog: () =>
      fleet
        .workers()
        .map((worker) => worker.log())
        .join('\n'),
  };
});
afterAll(() => fleet?.close());

test.each(SEEDS.map((seed) => [seed.system, seed] as const))(
  '%s: the answers are as its document shows them',
  async (_system, seed) => {
    const replayed = await replaySeed(seed, site);
    expect(replayed.length).toBeGreaterThan(0);
    expect(replayed.filter((step) => step.differences.length > 0)).toEqual([]);
  },
);
