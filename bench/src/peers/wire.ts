import type { SystemName, Target } from './system.ts';
import type { Progress } from './tally.ts';

/** Messages between the benchmark and the processes of a system. */
export type ToRole =
  | {
      readonly type: 'open';
      readonly role: Role;
      readonly system: SystemName;
      readonly target: Target;
      /** How often a consumer tells its progress, ms, if it made some. */
      readonly tellEveryMs: number;
    }
  | { readonly type: 'call'; readonly id: number; readonly name: string; readonly args: readonly unknown[] };

export type FromRole =
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown; readonly error: string | null }
  | { readonly type: 'progress'; readonly progress: Progress };

export type Role = 'producer' | 'consumer';

/** The answer to `open`. */
export const OPENED = 0;
