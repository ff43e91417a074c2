type Result = Readonly<Record<string, unknown>>;

/** Fields of `results`, summed over the firms' runs; the names are those of the seed where it prints them. */
export const FUNCTIONS = {
  'check-sla-and-overdue': ['overdueTasks', 'slaViolations', 'rulesTriggered'],
  'send-hearing-reminders': ['hearingsProcessed', 'emailsCreated', 'whatsappsCreated'],
  'analytics-snapshot': ['snapshotsCreated', 'snapshotsUpdated'],
  'check-upcoming-deadlines': ['tasksDue', 'hearingsDue', 'usersNotified', 'rulesTriggered'],
  'automation-health-check': ['total_executions', 'successful_executions', 'failed_executions'],
} as const satisfies Record<string, readonly string[]>;

export type FunctionName = keyof typeof FUNCTIONS;

/** What the runs did together. Pure. */
export function resultsOf(name: FunctionName, results: readonly Result[]): Result {
  const sums = Object.fromEntries(FUNCTIONS[name].map((field) => [field, sum(results, field)]));
  if (name !== 'automation-health-check') return sums;
  const { total_executions = 0, successful_executions = 0 } = sums;
  return {
    ...sums,
    // Of all firms together; the share of each is in its own run.
    success_rate: total_executions === 0 ? 1 : Math.round((successful_executions / total_executions) * 10_000) / 10_000,
    inactive_rules: lists(results, 'inactive_rules'),
    degraded_rules: lists(results, 'degraded_rules'),
  };
}

function sum(results: readonly Result[], field: string): number {
  return results.reduce((total, result) => total + (typeof result[field] === 'number' ? result[field] : 0), 0);
}

function lists(results: readonly Result[], field: string): unknown[] {
  return results.flatMap((result) => (Array.isArray(result[field]) ? result[field] : []));
}
