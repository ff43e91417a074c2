/** What one day's snapshot says; null where there was nothing to divide by. */
export const METRICS = [
  'case_count', 'task_completion_rate', 'sla_compliance_rate', 'hearing_attendance_rate', 'document_count', 'overdue_tasks',
] as const; // biome-ignore format: a list of names

export type Metric = (typeof METRICS)[number];
export type DayMetrics = Readonly<Record<Metric, number | null>>;

export interface Anomaly {
  readonly metric: Metric;
  readonly value: number;
  readonly average: number;
  /** (value − average) ÷ average; absent where the average is zero. */
  readonly deviation?: number;
  /** The average was zero, so that no share of it can be told. */
  readonly from_zero?: true;
}

/** SPEC 3.3: off by more than this share of the average of the days before. */
export const DEVIATION = 0.3;
/** The average is of this many days before, and needs at least so many of them. */
export const AVERAGE_DAYS = 7;
export const LEAST_DAYS = 3;

/** Metrics more than 30 % off the average of the earlier days that have them; exactly 30 % is not. Pure. */
export function findAnomalies(today: DayMetrics, earlier: readonly DayMetrics[]): Anomaly[] {
  return METRICS.flatMap((metric): Anomaly[] => {
    const value = today[metric];
    const known = earlier.map((day) => day[metric]).filter((one) => one !== null && one !== undefined);
    if (value === null || known.length < LEAST_DAYS) return [];
    const average = known.reduce((sum, one) => sum + one, 0) / known.length;
    if (average === 0) return value === 0 ? [] : [{ metric, value, average, from_zero: true }];
    const deviation = (value - average) / average;
    // Sums of decimals are off by 10⁻¹⁶: what is 30 % on paper must not be more here.
    return Math.abs(deviation) > DEVIATION + 1e-9
      ? [{ metric, value, average: round(average), deviation: round(deviation) }]
      : [];
  });
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
