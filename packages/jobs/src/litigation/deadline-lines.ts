import { appUrl } from './app-url.ts';
import { spokenTime } from './local-time.ts';
import type { DeadlineLine } from './templates.ts';

/** Something of one user that is due. */
export interface Deadline {
  readonly kind: 'task' | 'hearing';
  readonly id: string;
  readonly title: string;
  /** Name and city, of a hearing. */
  readonly court: string | null;
  readonly due: Date;
  /** Of a task. */
  readonly priority: string | null;
  readonly statutory: boolean;
}

/** Lines of one message at most; the rest is behind View All. */
const MAX_LINES = 100;

/** Hearings, critical and high tasks are HIGH PRIORITY; each part by time. Pure but for the address of the application. */
export function deadlineLines(deadlines: readonly Deadline[], now: Date, zone: string) {
  const sorted = [...deadlines].sort((a, b) => a.due.getTime() - b.due.getTime() || (a.id < b.id ? -1 : 1));
  const high = sorted.filter(isHigh).slice(0, MAX_LINES);
  const normal = sorted.filter((one) => !isHigh(one)).slice(0, MAX_LINES - high.length);
  const line = (one: Deadline) => lineOf(one, now, zone);
  return {
    high: high.map(line),
    normal: normal.map(line),
    more: sorted.length - high.length - normal.length,
    allUrl: appUrl('/deadlines'),
  };
}

function isHigh({ kind, priority }: Deadline): boolean {
  return kind === 'hearing' || priority === 'critical' || priority === 'high';
}

function lineOf({ kind, id, title, court, due, statutory }: Deadline, now: Date, zone: string): DeadlineLine {
  const page = kind === 'task' ? `/tasks/${id}` : `/hearings/${id}`;
  return {
    kind: kind === 'task' ? 'Task' : 'Hearing',
    title,
    court,
    when: spokenTime(due, now, zone),
    // A date set by law cannot be moved: a link would promise what nobody can do.
    rescheduleUrl: statutory ? null : appUrl(`${page}/reschedule`),
    completeUrl: kind === 'task' ? appUrl(`${page}/complete`) : null,
  };
}
