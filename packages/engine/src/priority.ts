/** Order of execution and retry policy of a run (SPEC 2), most urgent first. */
export const PRIORITIES = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** As stored and as BullMQ orders it: 1 is CRITICAL, 4 is LOW. */
export function priorityNumber(priority: Priority): number {
  return PRIORITIES.indexOf(priority) + 1;
}

export function priorityName(number: number): Priority {
  const name = PRIORITIES[number - 1];
  if (name === undefined) throw new RangeError(`priority must be 1 to ${PRIORITIES.length}, got ${number}`);
  return name;
}

/** How long a run of this priority may wait before it is one of the tenth that start out of turn (SPEC 2), ms. */
export const WAITING_BOUND_MS: Readonly<Record<Priority, number | null>> = {
  CRITICAL: null,
  HIGH: 60_000,
  MEDIUM: 5 * 60_000,
  LOW: 15 * 60_000,
};
