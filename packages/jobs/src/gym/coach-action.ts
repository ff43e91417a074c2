import type { RiskLevel } from './churn-risk.ts';

export type ActionKind = 'call' | 'message';

/** What a coach is asked to do about a member of this level, or null where the member is not at risk. */
export function coachAction(level: RiskLevel): ActionKind | null {
  switch (level) {
    case 'CRITICAL':
      return 'call';
    case 'HIGH':
      return 'message';
    case 'MEDIUM':
    case 'LOW':
      return null;
    default:
      return level satisfies never;
  }
}
