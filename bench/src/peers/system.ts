import type { Payload, Work } from './payload.ts';
import type { Tally } from './tally.ts';

export const SYSTEM_NAMES = [
  'nightshift',
  'bullmq',
  'bullmq-postgres',
  'pg-boss',
  'pg-boss-batch',
  'graphile-worker',
] as const;
export type SystemName = (typeof SYSTEM_NAMES)[number];

/** Where a system keeps its jobs. */
export interface Target {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** Ids; systems without tenants ignore them. */
  readonly tenants: readonly string[];
}

export interface Producing {
  /** Resolves when the system says that it has the job. `tenant` is an index into the target's. */
  add(work: Work, payload: Payload, tenant: number): Promise<unknown>;
  /** The system's way to add many at once. */
  addMany(work: Work, payloads: readonly Payload[], tenantOf: (payload: Payload) => number): Promise<unknown>;
  close(): Promise<void>;
}

export interface Consuming {
  /** Takes nothing more and lets what is in hand end. */
  stop(): Promise<void>;
}

/** How a system is driven, inside its own processes. */
export interface Driver {
  /** Prepares its store if that is empty. */
  produce(target: Target): Promise<Producing>;
  /** Resolves once it takes jobs. */
  consume(target: Target, work: Work, tally: Tally): Promise<Consuming>;
}
