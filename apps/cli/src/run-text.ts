import type { RunDetail, RunView } from '@nightshift/engine/accept';
import pc from 'picocolors';
import { seconds } from './terminal.ts';

/** A run in lines of `name  value`. */
export function runText(run: RunDetail): string {
  const lines: [string, string | null][] = [
    ['run', run.id],
    ['job', run.job],
    ['tenant', run.tenant],
    ['status', statusText(run.status)],
    ['priority', run.priority],
    ['attempts', String(run.attempts)],
    ['accepted', `${time(run.acceptedAt)} by ${run.actor}`],
    ['due', run.endedAt === null ? time(run.dueAt) : null],
    [
      'ended',
      run.endedAt === null
        ? null
        : `${time(run.endedAt)}${run.durationMs === null ? '' : ` after ${seconds(run.durationMs)}`}`,
    ],
    ['items', itemsText(run)],
    ['error', run.errorClass === null ? null : `${run.errorClass}: ${run.errorMessage ?? ''}`],
    ['worker', run.worker],
    ['input', run.input === null ? null : JSON.stringify(run.input)],
    ['result', run.result === null ? null : JSON.stringify(run.result)],
  ];
  return lines
    .filter((line): line is [string, string] => line[1] !== null)
    .map(([name, value]) => `${pc.dim(name.padEnd(9))} ${value}`)
    .join('\n');
}

export function statusText(status: RunView['status']): string {
  switch (status) {
    case 'completed':
      return pc.green(status);
    case 'completed_with_item_errors':
      return pc.yellow(status);
    case 'failed':
    case 'cancelled':
      return pc.red(status);
    case 'blocked':
    case 'scheduled':
    case 'queued':
    case 'dispatched':
    case 'running':
      return pc.cyan(status);
    default:
      return status satisfies never;
  }
}

/** `2026-11-21 02:00:05Z`, from what Postgres or JSON gives. */
export function time(value: Date | string | null): string {
  if (value === null) return '';
  return new Date(value)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z/, 'Z');
}

function itemsText(run: RunView): string | null {
  if (run.processed === 0 && run.expected === null) return null;
  const of = run.expected === null ? '' : ` of ${run.expected}`;
  const failed = run.failedItems === 0 ? '' : `, ${run.failedItems} failed`;
  return `${run.processed}${of} processed, ${run.changed} changed${failed}`;
}
