/** Where a run that has not ended stands (SPEC 4). */
export const OPEN_STATES = ['blocked', 'scheduled', 'queued', 'dispatched', 'running'] as const;
export type OpenState = (typeof OPEN_STATES)[number];

/** How a run can end. */
export const RUN_OUTCOMES = ['completed', 'completed_with_item_errors', 'failed', 'cancelled'] as const;
export type RunOutcome = (typeof RUN_OUTCOMES)[number];

export type RunStatus = OpenState | RunOutcome;

export function isEnded(status: RunStatus): status is RunOutcome {
  return (RUN_OUTCOMES as readonly string[]).includes(status);
}
