import {
  generatedTasks,
  jobStatistics,
  listProbes,
  liveWorkers,
  notificationStatistics,
  type Pools,
  queueDepths,
  tickStatistics,
} from '@nightshift/engine/accept';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Several scrapers, or an eager one, must not make Postgres count more often than this, ms. */
const MEMORY_MS = 5_000;
/** What "lately" means for figures that Postgres counts, min. */
const WINDOW_MINUTES = 60;

export interface ApiMetrics {
  /** Counts an answered request. `route` is a pattern, never an address: addresses are without number. */
  answered(method: string, route: string, status: number, seconds: number): void;
  /** Prometheus text. Without Postgres it holds what this process knows, and `nightshift_store_up 0`. */
  text(): Promise<{ contentType: string; body: string }>;
}

export function createMetrics(pools: Pools): ApiMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'nightshift_http_requests_total',
    help: 'Requests answered',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'nightshift_http_request_seconds',
    help: 'Time to answer; drop-in calls and waits include the run',
    labelNames: ['method', 'route'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 60, 600],
    registers: [registry],
  });
  const refresh = remembering(createStoreGauges(registry, pools));
  return {
    answered(method, route, status, took) {
      requests.inc({ method, route, status });
      seconds.observe({ method, route }, took);
    },
    async text() {
      await refresh();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** At most one at a time and one each few seconds. */
function remembering(work: () => Promise<void>): () => Promise<void> {
  let at = 0;
  let running: Promise<void> | null = null;
  return async () => {
    if (running === null && Date.now() - at < MEMORY_MS) return;
    running ??= work().finally(() => {
      at = Date.now();
      running = null;
    });
    await running;
  };
}

function createStoreGauges(registry: Registry, pools: Pools): () => Promise<void> {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge({ name: `nightshift_${name}`, help, labelNames: [...labelNames], registers: [registry] });
  const lately = `in the last ${WINDOW_MINUTES} min`;
  const up = gauge('store_up', '1 when Postgres answered this scrape');
  const workers = gauge('workers', 'Workers heard of within 15 s');
  const depth = gauge('queue_depth', 'Open runs', ['queue', 'priority', 'state']);
  const age = gauge('queue_oldest_waiting_seconds', 'Age of the longest-waiting run', ['queue', 'priority']);
  const probe = gauge('queue_probe_seconds', 'From the latest sign of life asked of a queue to its answer, or so far', [
    'queue',
  ]);
  const answered = gauge('queue_probe_answered', '1 when the latest sign of life was given', ['queue']);
  const runs = gauge('runs_ended', `Runs that ended ${lately}`, ['job', 'outcome']);
  const success = gauge('run_success_ratio', `Runs completed, with or without item errors, ${lately}`, ['job']);
  const errors = gauge('run_error_ratio', `Runs failed or with item errors ${lately}`, ['job']);
  const retries = gauge('run_retries', `Attempts beyond the first ${lately}`, ['job']);
  const duration = gauge('run_duration_seconds', `Execution time ${lately}`, ['job', 'outcome', 'quantile']);
  const items = gauge('items_per_second', `Items processed, mean ${lately}`, ['job']);
  const failedItems = gauge('items_failed', `Items that failed ${lately}`, ['job']);
  const ticks = gauge('ticks', `Due times ${lately}`, ['job', 'state']);
  const lateness = gauge('schedule_lateness_seconds', `Largest lateness of a tick ${lately}`, ['job']);
  const notifications = gauge(
    'notifications',
    `Notifications that wait or are being sent, and those that ended ${lately}`,
    ['channel', 'state'],
  );
  const notificationAge = gauge(
    'notifications_oldest_due_seconds',
    'How long the longest-due notification has waited',
    ['channel'],
  );
  const tasks = new Counter({
    name: 'nightshift_tasks_generated_total',
    help: 'Tasks that ended runs generated',
    labelNames: ['type'],
    registers: [registry],
  });
  const all = [
    notifications,
    notificationAge,
    tasks,
    workers,
    depth,
    age,
    probe,
    answered,
    runs,
    success,
    errors,
    retries,
    duration,
    items,
    failedItems,
    ticks,
    lateness,
  ];

  async function refresh(): Promise<void> {
    const [depths, live, statistics, tickCounts, probes, sent, generated] = await Promise.all([
      queueDepths(pools),
      liveWorkers(pools),
      jobStatistics(pools, WINDOW_MINUTES),
      tickStatistics(pools, WINDOW_MINUTES),
      listProbes(pools),
      notificationStatistics(pools, WINDOW_MINUTES),
      generatedTasks(pools),
    ]);
    for (const one of all) one.reset();
    for (const [queue, latest] of probes) {
      probe.set({ queue }, latest.seconds);
      answered.set({ queue }, latest.answeredAt === null ? 0 : 1);
    }
    for (const { channel, state, count, oldestDueSeconds } of sent) {
      notifications.set({ channel, state }, count);
      if (state === 'waiting') notificationAge.set({ channel }, oldestDueSeconds);
    }
    // Counted in Postgres: the same in every process, and after each of their starts.
    for (const { type, total } of generated) tasks.inc({ type }, total);
    workers.set(live.filter((worker) => !worker.stopping).length);
    for (const { queue, priority, oldestWaitingSeconds, ...states } of depths) {
      for (const [state, count] of Object.entries(states)) depth.set({ queue, priority, state }, count);
      age.set({ queue, priority }, oldestWaitingSeconds);
    }
    for (const { job, outcome, runs: count, medianSeconds, p95Seconds, ...sums } of statistics) {
      runs.set({ job, outcome }, count);
      if (medianSeconds !== null) duration.set({ job, outcome, quantile: '0.5' }, medianSeconds);
      if (p95Seconds !== null) duration.set({ job, outcome, quantile: '0.95' }, p95Seconds);
      retries.inc({ job }, sums.retries);
      items.inc({ job }, sums.itemsProcessed / (WINDOW_MINUTES * 60));
      failedItems.inc({ job }, sums.itemsFailed);
    }
    for (const [job, ratios] of ratiosOf(statistics)) {
      success.set({ job }, ratios.success);
      errors.set({ job }, ratios.errors);
    }
    for (const { job, state, ticks: count, maxLatenessSeconds } of tickCounts) {
      ticks.set({ job, state }, count);
      if (state === 'fired') lateness.set({ job }, maxLatenessSeconds);
    }
  }

  return async () => {
    try {
      await refresh();
      up.set(1);
    } catch {
      up.set(0);
    }
  };
}

/** Success and errors as SPEC 7 counts them: a run with item errors is both. Cancelled runs count for neither. */
export function ratiosOf(
  statistics: readonly { readonly job: string; readonly outcome: string; readonly runs: number }[],
): Map<string, { success: number; errors: number }> {
  const counts = new Map<string, { all: number; success: number; errors: number }>();
  for (const { job, outcome, runs } of statistics) {
    if (outcome === 'cancelled') continue;
    const count = counts.get(job) ?? { all: 0, success: 0, errors: 0 };
    count.all += runs;
    if (outcome !== 'failed') count.success += runs;
    if (outcome !== 'completed') count.errors += runs;
    counts.set(job, count);
  }
  return new Map(
    [...counts].map(([job, { all, success, errors }]) => [job, { success: success / all, errors: errors / all }]),
  );
}
