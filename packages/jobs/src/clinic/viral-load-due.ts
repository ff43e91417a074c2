import { type LabSample, latestOf, vlLevel } from './lab-result.ts';
import { addDays, addMonths } from './local-days.ts';

const REPEAT_AFTER_MONTHS = 3;
const FIRST_MONTHS = [6, 12] as const;
/** VL_MONITOR asks for the sample this many days ahead: one drawn then is the due one. */
export const VL_MONITOR_DAYS = 30;

export interface VlFacts {
  readonly artStartedOn: string;
  /** Months between two viral loads after the first year: 12, or 6. */
  readonly vlIntervalMonths: number;
  readonly labs: readonly LabSample[];
}

export interface VlDue {
  readonly dueOn: string;
  readonly rule: 'vl_due' | 'vl_repeat';
}

/**
 * When the next viral load falls due: 6 and 12 months after the ART start, from then on `vlIntervalMonths` after the last one, and 3 months
 * after an unsuppressed one. A sample without a result counts like a suppressed one for `sampleWaitDays`, then not at all.
 * Errors: `UnreadableResultError`.
 */
export function viralLoadDue(facts: VlFacts, sampleWaitDays: number, today: string): VlDue {
  const waitingFrom = addDays(today, -sampleWaitDays);
  const last = latestOf(
    facts.labs.filter(
      ({ test, comparator, drawnOn }) =>
        test === 'VL' &&
        drawnOn > facts.artStartedOn &&
        drawnOn <= today &&
        (comparator !== null || drawnOn >= waitingFrom),
    ),
  );
  const { comparator } = last ?? {};
  if (last && comparator && vlLevel({ ...last, comparator }) === 'unsuppressed')
    return { dueOn: addMonths(last.drawnOn, REPEAT_AFTER_MONTHS), rule: 'vl_repeat' };
  for (const months of FIRST_MONTHS) {
    const dueOn = addMonths(facts.artStartedOn, months);
    if (last === null || last.drawnOn < addDays(dueOn, -VL_MONITOR_DAYS)) return { dueOn, rule: 'vl_due' };
  }
  return { dueOn: addMonths(last?.drawnOn ?? facts.artStartedOn, facts.vlIntervalMonths), rule: 'vl_due' };
}
