import Table from 'cli-table3';
import pc from 'picocolors';

/** Rules above and below, two spaces between columns: readable on a terminal and in a pasted log. */
export const TABLE_STYLE = {
  chars: {
    top: '─', 'top-mid': '─', 'top-left': '─', 'top-right': '─',
    bottom: '─', 'bottom-mid': '─', 'bottom-left': '─', 'bottom-right': '─',
    left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: ' ',
  }, // biome-ignore format: one line a side
  style: { head: [], border: [], 'padding-left': 1, 'padding-right': 1 },
};

/** Rows under a head, left-aligned unless a column is named in `right`. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const made = new Table({
    ...TABLE_STYLE,
    head: head.map((name) => pc.dim(name)),
    colAligns: head.map((name) => (right.includes(name) ? 'right' : 'left')),
  });
  for (const row of rows) made.push([...row]);
  return made.toString();
}

/** `58 ms`, `0.4 s`, `12.3 s`, `3 min 05 s`. */
export function seconds(ms: number): string {
  if (ms < 100) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** `12,345`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}
