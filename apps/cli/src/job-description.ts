import { type DefinedJob, retryPolicy, type ScheduleDeclaration } from '@nightshift/engine';
import { z } from 'zod';

export type JobDescription = ReturnType<typeof describeJob>;

/** A job as data, without its functions. */
export function describeJob(job: DefinedJob) {
  return {
    name: job.name,
    title: job.title,
    description: job.description,
    system: job.system,
    kind: job.kind,
    scope: job.scope,
    priority: job.priority,
    queue: job.queue,
    schedule: job.schedule ?? null,
    retry: retryPolicy(job.priority, job.retry),
    options: job.options,
    typicalMs: job.typicalMs,
    maxMs: job.maxMs,
    access: job.access ?? null,
    inputVersion: job.inputVersion,
    inputSchema: z.toJSONSchema(job.input, { io: 'input', unrepresentable: 'any' }),
  };
}

/** `0 3 * * * UTC, after gym.commitment-scores`, or `ad hoc`. */
export function scheduleText(schedule: ScheduleDeclaration | null, quote = (cron: string) => cron): string {
  if (schedule === null) return 'ad hoc';
  const zone = schedule.zone === 'tenant' ? "tenant's zone" : schedule.zone;
  return `${quote(schedule.cron)} ${zone}${schedule.after === undefined ? '' : `, after ${schedule.after}`}`;
}
