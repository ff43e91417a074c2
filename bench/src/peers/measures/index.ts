import type { Measured } from '../sample.ts';
import type { Bench } from '../session.ts';
import type { SystemName } from '../system.ts';
import { depth } from './depth.ts';
import {
  drainManyTenants,
  drainNoop,
  drainNoopByFour,
  drainNoopOfFour,
  drainUnderSnapshot,
  drainUpdate,
} from './drain.ts';
import { bulk, singles } from './enqueue.ts';
import { flood } from './flood.ts';
import { flush } from './flush.ts';
import { atRates, idle } from './latency.ts';
import { schedules } from './schedules.ts';

export interface Measure {
  readonly name: string;
  readonly title: string;
  /** In the order in which a round goes through them. */
  readonly systems: readonly SystemName[];
  /** The measure that it is compared with, system by system. */
  readonly beside?: string;
  /** One round is enough of what takes minutes. */
  readonly once?: boolean;
  readonly run: (bench: Bench, system: SystemName) => Promise<Measured>;
}

const ALL: readonly SystemName[] = ['nightshift', 'bullmq', 'graphile-worker', 'pg-boss', 'bullmq-postgres'];
const ON_POSTGRES: readonly SystemName[] = ['nightshift', 'graphile-worker', 'pg-boss'];
const ON_REDIS: readonly SystemName[] = ['nightshift', 'bullmq'];

export const MEASURES: readonly Measure[] = [
  { name: 'drain', title: 'Drain of jobs that do nothing, one worker', systems: ALL, run: drainNoop },
  { name: 'drain4', title: 'Four times as many, by four workers', systems: ALL, run: drainNoopByFour },
  { name: 'alone', title: 'The same as many, by one worker', systems: ALL, beside: 'drain4', run: drainNoopOfFour },
  {
    name: 'update',
    title: 'Drain of useful jobs: one row updated by id',
    systems: [...ALL, 'pg-boss-batch'],
    run: drainUpdate,
  },
  { name: 'bulk', title: 'Enqueue in bulk, calls of 1,000', systems: ALL, run: bulk },
  { name: 'single', title: 'Enqueue one a call, 100 in flight', systems: ALL, run: singles },
  { name: 'idle', title: 'Latency when idle: call to handler, ms', systems: ALL, run: idle },
  { name: 'rates', title: 'Latency at fixed rates, ms', systems: ALL, run: atRates },
  { name: 'tenants', title: 'Drain of 1,000 tenants with 40 runs each', systems: ON_REDIS, run: drainManyTenants },
  {
    name: 'snapshot',
    title: 'Drain while another session holds a snapshot open',
    systems: ON_POSTGRES,
    run: drainUnderSnapshot,
  },
  { name: 'flood', title: `Another tenant's single run under one tenant's flood, ms`, systems: ON_REDIS, run: flood },
  { name: 'flush', title: 'FLUSHALL with a backlog', systems: ON_REDIS, run: flush },
  { name: 'schedules', title: 'Schedules due in the same second, ms late', systems: ['nightshift'], run: schedules },
  { name: 'depth', title: 'Few against very many waiting', systems: ON_REDIS, once: true, run: depth },
];
