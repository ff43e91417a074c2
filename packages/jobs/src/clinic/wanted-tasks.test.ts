import { describe, expect, test } from 'vitest';
import { baselineCd4, clinicalSummary } from './clinical-summary.ts';
import { type LabSample, vlLevel, vlStatus } from './lab-result.ts';
import { addDays, addMonths } from './local-days.ts';
import { viralLoadDue } from './viral-load-due.ts';
import { type ClientFacts, type FacilityRules, wantedTasks } from './wanted-tasks.ts';

const RULES: FacilityRules = {
  ltfuDays: 90,
  interruptionDays: 28,
  baselineBeforeDays: 180,
  baselineAfterDays: 90,
  sampleWaitDays: 30,
};
const CLIENT: ClientFacts = {
  id: 'c',
  registeredOn: '2020-01-01',
  lastVisitOn: '2026-11-01',
  nextAppointmentOn: null,
  supplyEndsOn: null,
  artStartedOn: null,
  onPrep: false,
  vlIntervalMonths: 12,
  arvRefillOn: null,
  prepRefillOn: null,
  labs: [],
};
const TODAY = '2026-11-22';
const lab = (test: 'CD4' | 'VL', drawnOn: string, more: Partial<LabSample> = {}): LabSample => ({
  test,
  drawnOn,
  comparator: '=',
  value: 300,
  assayLimit: null,
  ...more,
});
const wanted = (more: Partial<ClientFacts>, today = TODAY) =>
  wantedTasks({ ...CLIENT, ...more }, RULES, today).map(({ type, dueOn, rule }) => [type, dueOn, rule]);

test('days and months: leap days, month ends, the end of a year', () => {
  expect(addDays('2028-02-28', 1)).toBe('2028-02-29');
  expect(addDays('2026-12-31', 1)).toBe('2027-01-01');
  // The day that European clocks change has 25 hours.
  expect(addDays('2026-10-25', 1)).toBe('2026-10-26');
  expect(addMonths('2026-08-31', 6)).toBe('2027-02-28');
  expect(addMonths('2027-08-31', 6)).toBe('2028-02-29');
  expect(addMonths('2028-02-29', 12)).toBe('2029-02-28');
  expect(addMonths('2026-11-30', 3)).toBe('2027-02-28');
});

describe('viral load levels (WHO 2023)', () => {
  test.each<[string, Partial<LabSample>, string]>([
    ['not detected', { comparator: 'TND', value: null }, 'undetectable'],
    ['<20', { comparator: '<', value: 20 }, 'undetectable'],
    ['49, no limit given', { value: 49 }, 'undetectable'],
    ['50, no limit given', { value: 50 }, 'suppressed'],
    ['25 of an assay that sees 20', { value: 25, assayLimit: 20 }, 'suppressed'],
    ['19 of an assay that sees 20', { value: 19, assayLimit: 20 }, 'undetectable'],
    ['60 of an assay that sees 80', { value: 60, assayLimit: 80 }, 'undetectable'],
    ['1,000', { value: 1_000 }, 'suppressed'],
    ['1,001', { value: 1_001 }, 'unsuppressed'],
    ['>10,000,000', { comparator: '>', value: 10_000_000 }, 'unsuppressed'],
  ])('%s is %s', (_words, more, level) => {
    expect(vlLevel(lab('VL', TODAY, more) as never)).toBe(level);
  });

  test('what may mean either is refused, without its value in the message', () => {
    expect(() => vlLevel(lab('VL', TODAY, { comparator: '>', value: 437 }) as never)).toThrow(/drawn on 2026-11-22/);
    expect(() => vlLevel(lab('VL', TODAY, { comparator: '<', value: 5_437 }) as never)).not.toThrow(/5437|5,437/);
    expect(() => vlLevel(lab('VL', TODAY, { comparator: '<', value: 5_437 }) as never)).toThrow('correct comparator');
  });

  test('older than 12 months is stale, exactly 12 months is not', () => {
    expect(vlStatus(lab('VL', '2025-11-22') as never, TODAY)).toBe('suppressed');
    expect(vlStatus(lab('VL', '2025-11-21') as never, TODAY)).toBe('stale');
    expect(vlStatus(lab('VL', '2028-02-29') as never, '2029-02-28')).toBe('suppressed');
    expect(vlStatus(null, TODAY)).toBeNull();
  });
});

describe('baselines', () => {
  const start = '2026-06-01';
  test('the latest up to the start wins, then the first after it, at the edges of both windows', () => {
    const at = (days: number) => lab('CD4', addDays(start, days));
    const pick = (...days: number[]) => baselineCd4(days.map(at), start, RULES)?.drawnOn ?? null;
    expect(pick(-181)).toBeNull();
    expect(pick(-180)).toBe(addDays(start, -180));
    expect(pick(-180, -5, 0, 1)).toBe(start);
    expect(pick(1, 30)).toBe(addDays(start, 1));
    expect(pick(90)).toBe(addDays(start, 90));
    expect(pick(91)).toBeNull();
    expect(baselineCd4([at(0)], null, RULES)).toBeNull();
  });

  test('samples without a result and results of tomorrow are not there yet', () => {
    const labs = [lab('VL', '2026-05-01', { comparator: null, value: null }), lab('VL', '2026-11-23')];
    expect(clinicalSummary({ artStartedOn: start, labs }, RULES, TODAY)).toEqual({
      baselineCd4: null,
      baselineVl: null,
      latestCd4: null,
      latestVl: null,
      vlStatus: null,
    });
  });
});

describe('when the next viral load falls due', () => {
  const due = (artStartedOn: string, labs: LabSample[], today = TODAY, vlIntervalMonths = 12) =>
    viralLoadDue({ artStartedOn, labs, vlIntervalMonths }, 30, today).dueOn;

  test('6 and 12 months after the start, then a year (or half a year) after the last', () => {
    expect(due('2026-08-31', [])).toBe('2027-02-28');
    expect(due('2026-01-15', [lab('VL', '2026-07-20')])).toBe('2027-01-15');
    // Drawn while VL_MONITOR asked for it: that is the one of 6 months. A day earlier it is not.
    expect(due('2026-01-15', [lab('VL', '2026-06-15')])).toBe('2027-01-15');
    expect(due('2026-01-15', [lab('VL', '2026-06-14')])).toBe('2026-07-15');
    expect(due('2024-01-15', [lab('VL', '2025-03-01')])).toBe('2026-03-01');
    expect(due('2024-01-15', [lab('VL', '2025-03-01')], TODAY, 6)).toBe('2025-09-01');
  });

  test('3 months after an unsuppressed one; one from before the start does not count', () => {
    expect(due('2024-01-15', [lab('VL', '2026-08-31', { value: 1_001 })])).toBe('2026-11-30');
    expect(due('2026-06-01', [lab('VL', '2026-06-01', { value: 90_000 })])).toBe('2026-12-01');
  });

  test('a sample without a result counts for 30 days', () => {
    const waiting = (drawnOn: string) => [lab('VL', drawnOn, { comparator: null, value: null })];
    expect(due('2025-01-01', waiting('2026-10-23'))).toBe('2027-10-23');
    expect(due('2025-01-01', waiting('2026-10-22'))).toBe('2025-07-01');
  });
});

describe('lost to follow-up', () => {
  test('at 90 days and not before; the task keeps its due date as time passes', () => {
    expect(wanted({ lastVisitOn: '2026-08-25' })).toEqual([]);
    expect(wanted({ lastVisitOn: '2026-08-24' })).toEqual([['LTFU_REVIEW', TODAY, 'no_activity']]);
    expect(wanted({ lastVisitOn: '2026-08-24' }, '2027-03-01')).toEqual([['LTFU_REVIEW', TODAY, 'no_activity']]);
    expect(wanted({ lastVisitOn: null, registeredOn: '2026-08-24' })).toHaveLength(1);
  });

  test('drugs or an appointment beyond today hold it back, until 28 days after', () => {
    const away = { lastVisitOn: '2026-05-01' };
    expect(wanted({ ...away, supplyEndsOn: '2026-11-23' })).toEqual([]);
    expect(wanted({ ...away, nextAppointmentOn: TODAY })).toEqual([['LTFU_REVIEW', TODAY, 'no_activity']]);
    const recent = { lastVisitOn: '2026-10-01' };
    expect(wanted({ ...recent, nextAppointmentOn: '2026-10-25' })).toEqual([]);
    expect(wanted({ ...recent, nextAppointmentOn: '2026-10-24' })).toEqual([['LTFU_REVIEW', TODAY, 'missed_contact']]);
    // The later of the two is the expected contact; one that was kept is not missed.
    expect(wanted({ ...recent, nextAppointmentOn: '2026-10-10', supplyEndsOn: '2026-10-25' })).toEqual([]);
    expect(wanted({ lastVisitOn: '2026-10-24', nextAppointmentOn: '2026-10-24' })).toEqual([]);
  });
});

describe('labs and refills', () => {
  const onArt = { artStartedOn: '2025-05-25', labs: [lab('CD4', '2025-05-25'), lab('VL', '2025-11-25')] };
  test('a viral load is announced from 30 days before to its day, then pending', () => {
    const on = (today: string) => wanted({ ...onArt, lastVisitOn: today }, today).map(([type]) => type);
    expect(on('2026-04-24')).toEqual([]);
    expect(on('2026-04-25')).toEqual(['VL_MONITOR']);
    expect(on('2026-05-25')).toEqual(['VL_MONITOR']);
    expect(on('2026-05-26')).toEqual(['LABS_PENDING']);
  });

  test('no viral load rule without ART; a missing baseline CD4 comes after an overdue viral load', () => {
    expect(wanted({ onPrep: true, prepRefillOn: '2027-01-01' })).toEqual([]);
    expect(wanted({ artStartedOn: '2025-05-25' })).toEqual([
      ['LABS_PENDING', '2025-11-25', 'vl_due'],
      ['LABS_PENDING', '2025-05-25', 'baseline_cd4'],
    ]);
  });

  test('refills at 3 days ahead, for the programme alone', () => {
    const art = { artStartedOn: '2026-11-01', labs: [lab('CD4', '2026-11-01')] };
    expect(wanted({ ...art, arvRefillOn: '2026-11-25' })).toEqual([['REFILL_ARV', '2026-11-25', 'refill_due']]);
    expect(wanted({ ...art, arvRefillOn: '2026-11-26' })).toEqual([]);
    expect(wanted({ arvRefillOn: '2026-11-01', prepRefillOn: '2026-11-01' })).toEqual([]);
    expect(wanted({ onPrep: true, prepRefillOn: '2026-11-01' })).toEqual([['REFILL_PREP', '2026-11-01', 'refill_due']]);
  });
});
