/** How often a medicine is taken (SPEC 3.4). `as_needed` has no doses that fall due, so nobody is reminded. */
export type Frequency =
  | { readonly kind: 'daily' }
  | { readonly kind: 'as_needed' }
  /** ISO weekdays, Monday 1. */
  | { readonly kind: 'weekdays'; readonly days: readonly number[] }
  | { readonly kind: 'every_n_days'; readonly n: number };

const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const WHOLE_NAMES = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const MOST_DAYS = 365;

/** Reads `daily`, `as_needed`, `weekdays:mon,wed` (also whole names, or 1 to 7 from Monday) and `every_n_days:3`; null for anything else. */
export function parseFrequency(text: string): Frequency | null {
  if (text === 'daily' || text === 'as_needed') return { kind: text };
  const n = /^every_n_days:([1-9]\d{0,2})$/.exec(text)?.[1];
  if (n !== undefined) return Number(n) <= MOST_DAYS ? { kind: 'every_n_days', n: Number(n) } : null;
  const list = /^weekdays:([a-z1-7,]+)$/.exec(text)?.[1];
  if (list === undefined) return null;
  const days = list.split(',').map(weekday);
  if (days.some((day) => day === 0)) return null;
  return { kind: 'weekdays', days: [...new Set(days)].sort((a, b) => a - b) };
}

/** As it is stored: `weekdays:mon,wed`. */
export function frequencyText(frequency: Frequency): string {
  switch (frequency.kind) {
    case 'daily':
    case 'as_needed':
      return frequency.kind;
    case 'every_n_days':
      return `every_n_days:${frequency.n}`;
    case 'weekdays':
      return `weekdays:${frequency.days.map((day) => WEEKDAYS[day - 1]).join(',')}`;
    default:
      return frequency satisfies never;
  }
}

function weekday(word: string): number {
  if (/^[1-7]$/.test(word)) return Number(word);
  return Math.max(WEEKDAYS.indexOf(word), WHOLE_NAMES.indexOf(word)) + 1;
}
