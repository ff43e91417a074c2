import type { Driver, SystemName } from '../system.ts';

/** A process loads the system that it drives and no other. */
export async function loadDriver(name: SystemName): Promise<Driver> {
  switch (name) {
    case 'nightshift':
      return (await import('./nightshift.ts')).nightshift;
    case 'bullmq':
      return (await import('./bullmq.ts')).bullmq;
    case 'bullmq-postgres':
      return (await import('./bullmq.ts')).bullmqPostgres;
    case 'pg-boss':
    case 'pg-boss-batch':
      return (await import('./pg-boss.ts')).pgBoss;
    case 'graphile-worker':
      return (await import('./graphile-worker.ts')).graphileWorker;
    default:
      return name satisfies never;
  }
}
