import { seedDemo } from '@nightshift/db/demo';
import { type BenchPlatform, startBenchPlatform } from './bench-platform.ts';
import type { GymBenchOptions } from './gym-options.ts';

const DAYS = 180;

export interface Platform extends BenchPlatform {
  readonly visits: number;
}

/** Starts everything from nothing; `say` hears a line a step. */
export async function startPlatform(options: GymBenchOptions, say: (line: string) => void): Promise<Platform> {
  let visits = 0;
  const platform = await startBenchPlatform(async ({ adminUrl }) => {
    const startedAt = performance.now();
    const visitsPerMember = options.visits / options.members;
    const seeded = await seedDemo({ adminUrl, gyms: 1, members: options.members, days: DAYS, visitsPerMember });
    visits = seeded.visits;
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    say(`${seeded.members} members, ${seeded.visits} visits, ${seeded.coaches} coaches loaded in ${seconds} s`);
  });
  return { ...platform, visits };
}
