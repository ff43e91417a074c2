import type { TASK_RULES, TASK_TYPES } from '@nightshift/db/clinic';
import { type BaselineWindow, baselineCd4 } from './clinical-summary.ts';
import type { LabSample } from './lab-result.ts';
import { addDays, later } from './local-days.ts';
import { VL_MONITOR_DAYS, viralLoadDue } from './viral-load-due.ts';

export type TaskType = (typeof TASK_TYPES)[number];

/** A facility's own numbers, days. */
export interface FacilityRules extends BaselineWindow {
  readonly ltfuDays: number;
  readonly interruptionDays: number;
  readonly sampleWaitDays: number;
}

/** What is known about an active client. Dates are local days of the facility. */
export interface ClientFacts {
  readonly id: string;
  readonly registeredOn: string;
  /** Of the last encounter or dispense. */
  readonly lastVisitOn: string | null;
  /** As booked at the latest encounter that booked one. */
  readonly nextAppointmentOn: string | null;
  /** The first day without drugs of any dispense. */
  readonly supplyEndsOn: string | null;
  /** Null when not on ART today. */
  readonly artStartedOn: string | null;
  readonly onPrep: boolean;
  readonly vlIntervalMonths: number;
  /** Next refill of the latest dispense of each kind. */
  readonly arvRefillOn: string | null;
  readonly prepRefillOn: string | null;
  /** In order of the day drawn. */
  readonly labs: readonly LabSample[];
}

/** A task that should be there, unless a person closed it. */
export interface WantedTask {
  readonly type: TaskType;
  readonly dueOn: string;
  readonly rule: (typeof TASK_RULES)[number];
  /** The facility's number in the rule. */
  readonly ruleDays: number | null;
}

const REFILL_DAYS = 3;

/**
 * What a client needs today; of several tasks of one type the more important first. Errors: `UnreadableResultError`.
 */
export function wantedTasks(client: ClientFacts, rules: FacilityRules, today: string): WantedTask[] {
  return [
    ...lostToFollowUp(client, rules, today),
    ...labs(client, rules, today),
    ...refill('REFILL_ARV', client.artStartedOn === null ? null : client.arvRefillOn, today),
    ...refill('REFILL_PREP', client.onPrep ? client.prepRefillOn : null, today),
  ];
}

/**
 * Due on the first day on which a rule held, so that the task keeps its identity while the client stays away. An expected contact was
 * kept when the client came on its day or later.
 */
function* lostToFollowUp(client: ClientFacts, rules: FacilityRules, today: string): Generator<WantedTask> {
  const expectedOn = later(client.nextAppointmentOn, client.supplyEndsOn);
  const seenOn = client.lastVisitOn ?? client.registeredOn;
  const quietOn = later(addDays(seenOn, rules.ltfuDays), expectedOn) ?? seenOn;
  const missed = expectedOn !== null && (client.lastVisitOn === null || client.lastVisitOn < expectedOn);
  const missedOn = missed ? addDays(expectedOn, rules.interruptionDays + 1) : null;
  const type = 'LTFU_REVIEW';
  if (missedOn !== null && missedOn < quietOn) {
    if (missedOn <= today) yield { type, dueOn: missedOn, rule: 'missed_contact', ruleDays: rules.interruptionDays };
  } else if (quietOn <= today) yield { type, dueOn: quietOn, rule: 'no_activity', ruleDays: rules.ltfuDays };
}

function* labs(client: ClientFacts, rules: FacilityRules, today: string): Generator<WantedTask> {
  const { artStartedOn } = client;
  if (artStartedOn === null) return;
  const { dueOn, rule } = viralLoadDue({ ...client, artStartedOn }, rules.sampleWaitDays, today);
  if (dueOn < today) yield { type: 'LABS_PENDING', dueOn, rule, ruleDays: null };
  else if (dueOn <= addDays(today, VL_MONITOR_DAYS))
    yield { type: 'VL_MONITOR', dueOn, rule, ruleDays: VL_MONITOR_DAYS };
  const waitingFrom = addDays(today, -rules.sampleWaitDays);
  const cd4 = client.labs.filter(
    ({ test, comparator, drawnOn }) =>
      test === 'CD4' && drawnOn <= today && (comparator !== null || drawnOn >= waitingFrom),
  );
  if (baselineCd4(cd4, artStartedOn, rules) === null)
    yield { type: 'LABS_PENDING', dueOn: artStartedOn, rule: 'baseline_cd4', ruleDays: null };
}

function* refill(type: 'REFILL_ARV' | 'REFILL_PREP', refillOn: string | null, today: string): Generator<WantedTask> {
  if (refillOn !== null && refillOn <= addDays(today, REFILL_DAYS))
    yield { type, dueOn: refillOn, rule: 'refill_due', ruleDays: REFILL_DAYS };
}
