import type { DemoDay } from './gym-calendar.ts';
import type { Random } from './random.ts';

type DemoHabit = 'steady' | 'flexible' | 'occasional' | 'fading' | 'stopped' | 'never' | 'new' | 'frozen' | 'left';

/** What is decided about a member before any visit: everything about attendance follows from it. Days count back from today. */
export interface DemoMember {
  readonly habit: DemoHabit;
  readonly status: 'active' | 'frozen' | 'left';
  readonly joinedDaysAgo: number;
  /** Planned visits a week, 0 to 7, before holidays and missed days. */
  readonly weekly: number;
  /** Weekdays in the order in which the member prefers them. */
  readonly weekdays: readonly number[];
  /** Local hour of the usual visit. */
  readonly hour: number;
  /** Attendance ends here (0: it goes on); for `fading` it begins to drop `fadeDays` before. */
  readonly endedDaysAgo: number;
  readonly fadeDays: number;
  readonly holiday: { readonly from: number; readonly to: number } | null;
}

const HABITS: readonly (readonly [DemoHabit, number])[] = [
  ['steady', 46],
  ['flexible', 14],
  ['occasional', 7],
  ['fading', 10],
  ['stopped', 7],
  ['never', 3],
  ['new', 6],
  ['frozen', 3],
  ['left', 4],
];
/** Of ten planned days one is missed for no reason that repeats. */
const ATTENDANCE = 0.9;
const NO_SHOW = 0.04;

export function planMember(random: Random): DemoMember {
  const habit = random.weighted(HABITS);
  const status = habit === 'frozen' || habit === 'left' ? habit : 'active';
  const joinedDaysAgo = habit === 'new' ? random.between(1, 29) : Math.max(40, Math.round(1500 * random.next() ** 2));
  const endedDaysAgo = {
    fading: random.between(0, 25),
    stopped: random.between(31, 120),
    frozen: random.between(5, 90),
    left: random.between(1, 90),
  };
  const hasHoliday = random.chance(0.5);
  const from = random.between(10, 170);
  return {
    habit,
    status,
    joinedDaysAgo,
    weekly: plannedWeekly(habit, random),
    weekdays: shuffledWeekdays(random),
    hour: random.weighted([
      [6, 10],
      [7, 14],
      [9, 8],
      [12, 12],
      [16, 8],
      [17, 18],
      [18, 20],
      [19, 10],
    ]),
    endedDaysAgo:
      habit in endedDaysAgo ? Math.min(endedDaysAgo[habit as keyof typeof endedDaysAgo], joinedDaysAgo - 1) : 0,
    fadeDays: habit === 'fading' ? random.between(20, 50) : 0,
    holiday: hasHoliday ? { from, to: from - random.between(5, 14) } : null,
  };
}

/** Visits that this member is expected to make in the last `days` days, about (used to scale a whole gym). */
export function expectedVisits(member: DemoMember, days: number): number {
  const begin = Math.min(days, member.joinedDaysAgo);
  const trained = Math.max(0, begin - member.endedDaysAgo - member.fadeDays / 2);
  const away =
    member.holiday && member.holiday.from <= begin
      ? Math.max(0, member.holiday.from - Math.max(member.holiday.to, member.endedDaysAgo))
      : 0;
  return ((trained - away) / 7) * Math.min(7, member.weekly) * ATTENDANCE;
}

/** Calls `visit` for each booked visit: the day, minutes after local midnight, and whether the member came. */
export function drawVisits(
  member: DemoMember,
  calendar: readonly DemoDay[],
  random: Random,
  visit: (day: DemoDay, minute: number, attended: boolean) => void,
): void {
  const chances = weekdayChances(member);
  const first = Math.max(0, calendar.length - member.joinedDaysAgo);
  for (let index = first; index < calendar.length; index++) {
    const day = calendar[index] as DemoDay;
    const daysAgo = calendar.length - index;
    const chance = (chances[day.weekday] as number) * day.openness * strength(member, daysAgo);
    if (chance === 0 || !random.chance(chance)) continue;
    visit(day, member.hour * 60 + random.between(0, 75), !random.chance(NO_SHOW));
  }
}

function plannedWeekly(habit: DemoHabit, random: Random): number {
  switch (habit) {
    case 'never':
      return 0;
    case 'occasional':
      return 0.3 + random.next() * 0.4;
    case 'flexible':
      return 1 + random.next() * 2.5;
    case 'steady':
    case 'fading':
    case 'stopped':
    case 'new':
    case 'frozen':
    case 'left':
      return random.weighted([
        [1, 22],
        [2, 38],
        [3, 28],
        [4, 9],
        [5, 3],
      ]);
    default:
      return habit satisfies never;
  }
}

function shuffledWeekdays(random: Random): number[] {
  const days = [1, 2, 3, 4, 5, 6, 0];
  for (let at = days.length - 1; at > 0; at--) {
    const other = random.between(0, at);
    [days[at], days[other]] = [days[other] as number, days[at] as number];
  }
  return days;
}

/** Chance of a visit on each weekday: fixed days for those with a rhythm, spread over the week for the others. */
function weekdayChances(member: DemoMember): number[] {
  const weekly = Math.min(7, member.weekly);
  if (member.habit === 'flexible' || member.habit === 'occasional') return Array(7).fill((weekly / 7) * ATTENDANCE);
  const chances = Array<number>(7).fill(0);
  member.weekdays.forEach((weekday, rank) => {
    chances[weekday] = Math.min(1, Math.max(0, weekly - rank)) * ATTENDANCE;
  });
  return chances;
}

/** 1 while the habit holds, 0 in holidays and after its end, falling in between for those who fade. */
function strength(member: DemoMember, daysAgo: number): number {
  if (daysAgo <= member.endedDaysAgo) return 0;
  if (member.holiday && daysAgo <= member.holiday.from && daysAgo > member.holiday.to) return 0;
  return member.fadeDays === 0 ? 1 : Math.min(1, (daysAgo - member.endedDaysAgo) / member.fadeDays);
}
