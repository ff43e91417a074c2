import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LabSample } from './lab-result.ts';
import { addDays } from './local-days.ts';
import { type ExistingTask, planTasks } from './plan-tasks.ts';
import { type ClientFacts, type FacilityRules, type WantedTask, wantedTasks } from './wanted-tasks.ts';

const TODAY = '2026-11-22';
const RULES: FacilityRules = {
  ltfuDays: 90,
  interruptionDays: 28,
  baselineBeforeDays: 180,
  baselineAfterDays: 90,
  sampleWaitDays: 30,
};
const day = (from: number, to: number) => fc.integer({ min: from, max: to }).map((days) => addDays(TODAY, days));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });

const sample: fc.Arbitrary<LabSample> = fc.record({
  test: fc.constantFrom('CD4' as const, 'VL' as const),
  drawnOn: day(-1_500, 0),
  comparator: fc.constantFrom('=' as const, null),
  value: fc.integer({ min: 0, max: 5_000 }),
  assayLimit: fc.constant(null),
});
const client: fc.Arbitrary<ClientFacts> = fc.record({
  id: fc.constant('c'),
  registeredOn: day(-1_500, -1),
  lastVisitOn: maybe(day(-1_000, 0)),
  nextAppointmentOn: maybe(day(-400, 100)),
  supplyEndsOn: maybe(day(-400, 180)),
  artStartedOn: maybe(day(-1_500, 0)),
  onPrep: fc.boolean(),
  vlIntervalMonths: fc.constantFrom(6, 12),
  arvRefillOn: maybe(day(-100, 100)),
  prepRefillOn: maybe(day(-100, 100)),
  labs: fc.array(sample, { maxLength: 6 }),
});

/** What the tables would hold after a plan. */
function carryOut(wanted: readonly WantedTask[], existing: readonly ExistingTask[]): ExistingTask[] {
  const plan = planTasks(wanted, existing);
  const after = existing.map((task): ExistingTask => {
    const closed = plan.close.find(({ id }) => id === task.id);
    if (closed) return { ...task, status: 'superseded', closeReason: closed.reason };
    return plan.reopen.some(({ id }) => id === task.id) ? { ...task, status: 'open', closeReason: null } : task;
  });
  for (const { type, dueOn } of plan.create)
    after.push({ id: `${type}:${dueOn}`, type, dueOn, status: 'open', source: 'system', closeReason: null });
  return after;
}
const isOpen = (task: ExistingTask) => task.status === 'open';

/** Nights of one client: each day's facts, and what people close in between. */
const nights = fc.array(fc.record({ facts: client, byHand: fc.nat(5) }), { minLength: 1, maxLength: 6 });

test('whatever happens from night to night: one open task of a type, identities once, by hand stays by hand, a second run changes nothing', () => {
  fc.assert(
    fc.property(nights, (all) => {
      let tasks: ExistingTask[] = [];
      for (const { facts, byHand } of all) {
        const wanted = wantedTasks(facts, RULES, TODAY);
        tasks = carryOut(wanted, tasks);
        const open = tasks.filter(isOpen).map(({ type }) => type);
        expect(new Set(open).size).toBe(open.length);
        expect(new Set(tasks.map(({ type, dueOn }) => type + dueOn)).size).toBe(tasks.length);
        if (open.includes('LTFU_REVIEW')) expect(open.filter((type) => type.startsWith('REFILL'))).toEqual([]);
        const again = planTasks(wanted, tasks);
        expect(again).toEqual({ close: [], reopen: [], create: [] });
        const closed = tasks.filter(isOpen)[byHand];
        if (closed === undefined) continue;
        tasks = tasks.map((task) => (task === closed ? { ...task, status: 'completed', closeReason: 'hand' } : task));
        tasks = carryOut(wanted, tasks);
        expect(tasks.find(({ id }) => id === closed.id)?.status).toBe('completed');
      }
    }),
    { numRuns: 300 },
  );
});

test('a person’s own open task of a type is the one that there is', () => {
  const own: ExistingTask = {
    id: 'own',
    type: 'LTFU_REVIEW',
    dueOn: '2020-01-01',
    status: 'open',
    source: 'person',
    closeReason: null,
  };
  const wish: WantedTask = { type: 'LTFU_REVIEW', dueOn: TODAY, rule: 'no_activity', ruleDays: 90 };
  expect(planTasks([wish], [own])).toEqual({ close: [], reopen: [], create: [] });
  expect(planTasks([], [own])).toEqual({ close: [], reopen: [], create: [] });
});

test('a visit today leaves nobody lost, and a later visit never makes a review due earlier', () => {
  fc.assert(
    fc.property(client, day(-1_000, 0), (facts, visit) => {
      const lost = (one: ClientFacts) =>
        wantedTasks({ ...one, artStartedOn: null }, RULES, TODAY).find(({ type }) => type === 'LTFU_REVIEW')?.dueOn ??
        null;
      const seenToday = { ...facts, lastVisitOn: TODAY };
      expect(lost(seenToday)).toBeNull();
      const before = lost({ ...facts, lastVisitOn: visit });
      const after = lost({ ...facts, lastVisitOn: addDays(visit, 1) });
      if (after !== null) expect(before !== null && before <= after).toBe(true);
    }),
    { numRuns: 300 },
  );
});
