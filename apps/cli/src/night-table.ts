import Table from 'cli-table3';
import pc from 'picocolors';
import type { NightProgress, NightRow } from './night.ts';
import { count, seconds, TABLE_STYLE } from './terminal.ts';

/** The night as a table: job, its schedule, tenants, items, changed, errors, time; below it each failed run with its reason. */
export function nightTable(rows: readonly NightRow[]): string {
  const table = new Table({
    ...TABLE_STYLE,
    head: ['job', 'schedule', 'tenants', 'items', 'changed', 'errors', 'time', ''],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'left'],
  });
  for (const row of rows) {
    table.push([
      row.job,
      pc.dim(row.schedule),
      count(row.tenants),
      row.kind === 'sweep' ? count(row.items) : pc.dim('–'),
      row.kind === 'sweep' ? count(row.changed) : pc.dim('–'),
      row.errors > 0 ? pc.yellow(count(row.errors)) : count(row.errors),
      seconds(row.durationMs),
      verdict(row),
    ]);
  }
  const failures = rows.flatMap((row) =>
    row.failures.map((failure) => `${pc.red('failed')}  ${row.job} for ${failure.tenant}: ${failure.reason}`),
  );
  const notes = rows.flatMap((row) => (row.note === null ? [] : [`${pc.dim('skipped')} ${row.job}: ${row.note}`]));
  return [table.toString(), ...failures, ...notes].join('\n');
}

/** True when a run of the night failed or was cancelled. Item errors alone do not fail a night. */
export function nightFailed(rows: readonly NightRow[]): boolean {
  return rows.some((row) => row.status === 'failed');
}

/** Shows progress on a stream: one line, rewritten, on a terminal; otherwise one line a job. */
export function showNightProgress(stream: NodeJS.WriteStream): (progress: NightProgress) => void {
  const rewrite = (line: string) =>
    stream.isTTY && stream.write(`\r\x1b[2K${line.slice(0, (stream.columns || 80) - 1)}`);
  return (progress) => {
    switch (progress.kind) {
      case 'started':
        rewrite(`  ${progress.job}  ${progress.tenants} runs`);
        return;
      case 'progress':
        rewrite(`  ${progressLine(progress)}`);
        return;
      case 'ended':
        rewrite('');
        if (!stream.isTTY)
          stream.write(`${progress.row.job}: ${progress.row.status}, ${seconds(progress.row.durationMs)}\n`);
        return;
      default:
        progress satisfies never;
    }
  };
}

const BAR_WIDTH = 24;

/** `gym.commitment-scores  ████░░░░  2,550 of 5,608`, and who waits for a retry. */
export function progressLine(progress: NightProgress & { kind: 'progress' }): string {
  const { job, processed, expected, retrying } = progress;
  const done = expected ? Math.min(1, processed / expected) : 0;
  const filled = Math.round(done * BAR_WIDTH);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`;
  const [first] = retrying;
  const retry = first ? `, ${first.tenant} tries again at ${first.at.toISOString().slice(11, 19)} UTC` : '';
  return `${job.padEnd(24)} ${bar}  ${count(processed)}${expected === null ? '' : ` of ${count(expected)}`}${retry}`;
}

function verdict(row: NightRow): string {
  switch (row.status) {
    case 'completed':
      return pc.green('ok');
    case 'completed_with_item_errors':
      return pc.yellow('item errors');
    case 'failed':
      return pc.red(`${row.failures.length} failed`);
    case 'skipped':
      return pc.dim('skipped');
    default:
      return row.status satisfies never;
  }
}
