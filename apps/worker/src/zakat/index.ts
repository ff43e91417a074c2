import { createZakatScheduler } from './scheduler.ts';

export type { JobStatus, SchedulerOptions } from './scheduler.ts';

const scheduler = createZakatScheduler();

/** One scheduler for the process, as the seed's `jobs/scheduler` module is. See `ZakatScheduler`. */
export const { initializeJobs, stopAllJobs, triggerJob, getJobStatus } = scheduler;
