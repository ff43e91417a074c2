/** Executions of one enabled rule in the last 24 h, and when it was last executed at all. */
export interface RuleActivity {
  readonly id: string;
  readonly name: string;
  readonly succeeded: number;
  readonly failed: number;
  /** Hours since its last execution, or since it was made when there was none. */
  readonly silentHours: number;
}

/** The seed's, field by field. Rates are shares, 0 to 1; with no execution nothing failed: `success_rate` is 1. */
export interface HealthMetrics {
  readonly total_executions: number;
  readonly successful_executions: number;
  readonly failed_executions: number;
  readonly success_rate: number;
  /** Names of rules that were not triggered in 48 h. */
  readonly inactive_rules: readonly string[];
  /** Rules of which more than 20 % failed. */
  readonly degraded_rules: readonly {
    readonly rule_id: string;
    readonly rule_name: string;
    readonly failure_rate: number;
  }[];
}

export interface HealthAlert {
  readonly severity: 'CRITICAL' | 'WARNING' | 'INFO';
  /** Of the rule it is about; null: the whole. */
  readonly ruleId: string | null;
  readonly message: string;
}

const DEGRADED_ABOVE = 0.2;
const SILENT_ABOVE_HOURS = 48;
const OVERALL_BELOW = 0.95;

/** Pure. */
export function healthOf(rules: readonly RuleActivity[]): {
  readonly metrics: HealthMetrics;
  readonly alerts: readonly HealthAlert[];
} {
  const succeeded = rules.reduce((sum, rule) => sum + rule.succeeded, 0);
  const failed = rules.reduce((sum, rule) => sum + rule.failed, 0);
  const total = succeeded + failed;
  const successRate = total === 0 ? 1 : succeeded / total;
  const degraded = rules.filter((rule) => failureRate(rule) > DEGRADED_ABOVE);
  const silent = rules.filter((rule) => rule.silentHours > SILENT_ABOVE_HOURS);
  return {
    metrics: {
      total_executions: total,
      successful_executions: succeeded,
      failed_executions: failed,
      success_rate: round(successRate),
      inactive_rules: silent.map((rule) => rule.name),
      degraded_rules: degraded.map((rule) => ({
        rule_id: rule.id,
        rule_name: rule.name,
        failure_rate: round(failureRate(rule)),
      })),
    },
    alerts: [
      ...degraded.map((rule) => ({
        severity: 'CRITICAL' as const,
        ruleId: rule.id,
        message: `Rule '${rule.name}' failed ${rule.failed} of ${rule.failed + rule.succeeded} times in 24 hours.`,
      })),
      ...silent.map((rule) => ({
        severity: 'WARNING' as const,
        ruleId: rule.id,
        message: `Rule '${rule.name}' was not triggered for ${Math.floor(rule.silentHours)} hours.`,
      })),
      ...(successRate < OVERALL_BELOW
        ? [
            {
              severity: 'INFO' as const,
              ruleId: null,
              message: `${succeeded} of ${total} rule executions succeeded in 24 hours.`,
            },
          ]
        : []),
    ],
  };
}

function failureRate({ succeeded, failed }: RuleActivity): number {
  return succeeded + failed === 0 ? 0 : failed / (succeeded + failed);
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
