/** Either the value as Postgres reads it, or what is wrong with it in words that follow "column". */
type ParsedCell = { readonly value: string } | { readonly problem: string };

export interface ColumnType {
  readonly sql: string;
  parse(cell: string): ParsedCell;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const INSTANT =
  /^(\d{4}-\d{2}-\d{2})[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)?$/;
const OLDEST_YEAR = 1900;

export const uuid: ColumnType = {
  sql: 'uuid',
  parse: (cell) => (UUID.test(cell) ? { value: cell } : expected('a UUID', cell)),
};

/** `2026-11-20` */
export const date: ColumnType = {
  sql: 'date',
  parse: (cell) => (isDate(cell) ? { value: cell } : expected('a date like 2026-11-20', cell)),
};

/** `2026-11-20T18:05:00Z`, `2026-11-20 18:05+05:30`; without an offset it is the tenant's local time. */
export const instant: ColumnType = {
  sql: 'timestamptz',
  parse(cell) {
    const day = INSTANT.exec(cell)?.[1];
    return day !== undefined && isDate(day) ? { value: cell } : expected('a time like 2026-11-20T18:05:00Z', cell);
  },
};

export const boolean: ColumnType = {
  sql: 'boolean',
  parse(cell) {
    const word = cell.toLowerCase();
    if (['true', 't', 'yes', '1'].includes(word)) return { value: 'true' };
    if (['false', 'f', 'no', '0'].includes(word)) return { value: 'false' };
    return expected('true or false', cell);
  },
};

export function text(longest: number): ColumnType {
  return {
    sql: 'text',
    parse(cell) {
      if (cell.length > longest) return { problem: `is ${cell.length} characters long, at most ${longest} fit` };
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get in (Postgres refuses NUL at all).
      if (/[\u0000-\u001f\u007f]/.test(cell)) return { problem: 'has a control character or line break' };
      return { value: cell };
    },
  };
}

/** Three capital letters (ISO 4217). */
export const currency: ColumnType = {
  sql: 'text',
  parse: (cell) => (/^[A-Z]{3}$/.test(cell) ? { value: cell } : expected('a currency like EUR', cell)),
};

/** An amount of money in whole minor units (cents). It is to be encrypted, so that what is wrong with it is said without it. */
export const minorUnits: ColumnType = {
  sql: 'text',
  parse: (cell) =>
    /^\d{1,18}$/.test(cell) ? { value: cell } : { problem: 'expected whole minor units like 12345, 18 digits at most' },
};

/** The same in lower case. */
export function lowerText(longest: number): ColumnType {
  return { sql: 'text', parse: (cell) => text(longest).parse(cell.toLowerCase()) };
}

/** Words between semicolons, in lower case: `Coumadin; Jantoven`. */
export function wordList(longest: number): ColumnType {
  return {
    sql: 'text[]',
    parse(cell) {
      const parsed = text(longest).parse(cell.toLowerCase());
      if ('problem' in parsed) return parsed;
      const words = parsed.value.split(';').flatMap((word) => (word.trim() === '' ? [] : [word.trim()]));
      return { value: `{${words.map((word) => `"${word.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}` };
    },
  };
}

/** A number of 0 or more with so many decimals at most. */
export function decimal(decimals: number): ColumnType {
  const form = new RegExp(`^\\d{1,9}(\\.\\d{1,${decimals}})?$`);
  return {
    sql: 'numeric',
    parse: (cell) =>
      form.test(cell) ? { value: cell } : expected(`a number like 1.5, ${decimals} decimals at most`, cell),
  };
}

export function oneOf(...words: readonly string[]): ColumnType {
  return {
    sql: 'text',
    parse: (cell) =>
      words.includes(cell) ? { value: cell } : expected(words.join(', ').replace(/, ([^,]*)$/, ' or $1'), cell),
  };
}

export function integer(least: number, most: number): ColumnType {
  return {
    sql: 'integer',
    parse: (cell) =>
      /^-?\d{1,9}$/.test(cell) && Number(cell) >= least && Number(cell) <= most
        ? { value: cell }
        : expected(`a whole number from ${least} to ${most}`, cell),
  };
}

function isDate(cell: string): boolean {
  const [, year, month, day] = (DATE.exec(cell) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined || year < OLDEST_YEAR) return false;
  // Date.UTC turns the 31st of a short month into the 1st of the next one.
  const made = new Date(Date.UTC(year, month - 1, day));
  return made.getUTCMonth() === month - 1 && made.getUTCDate() === day;
}

function expected(what: string, cell: string): ParsedCell {
  return { problem: `expected ${what}, got '${cell.length > 40 ? `${cell.slice(0, 40)}…` : cell}'` };
}
