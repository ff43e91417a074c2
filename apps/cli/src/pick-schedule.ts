import { UnknownScheduleError } from '@nightshift/engine';
import { listSchedules, type Producer, type ScheduleView } from '@nightshift/engine/accept';
import { UsageError } from './usage-error.ts';

/** A job's name means its general schedule, not those that tenants have of their own. */
export function pickSchedule(schedules: readonly ScheduleView[], idOrJob: string): ScheduleView {
  const matches = schedules.filter(
    ({ id, job, ownerTenant }) => id === idOrJob || (job === idOrJob && ownerTenant === null),
  );
  const [match, other] = matches;
  if (match === undefined) throw new UnknownScheduleError(idOrJob);
  if (other !== undefined) {
    throw new UsageError(
      `${idOrJob} has ${matches.length} schedules; name one by its id: ${matches.map((s) => s.id).join(', ')}.`,
    );
  }
  return match;
}

export async function readSchedules(producer: Producer): Promise<readonly ScheduleView[]> {
  return listSchedules(producer.pools);
}
