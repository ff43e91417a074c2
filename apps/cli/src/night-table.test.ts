import { expect, test } from 'vitest';
import type { NightRow } from './night.ts';
import { nightFailed, nightTable, progressLine } from './night-table.ts';

const row: NightRow = {
  job: 'gym.commitment-scores',
  title: 'Commitment scores',
  kind: 'sweep',
  schedule: '0 2 * * *',
  status: 'completed',
  tenants: 3,
  items: 6_000,
  changed: 5_812,
  errors: 0,
  durationMs: 4_260,
  failures: [],
  note: null,
};
const failed: NightRow = {
  ...row,
  job: 'gym.coach-actions',
  status: 'failed',
  failures: [{ tenant: 'iron-works', runId: '0190', reason: 'the coach is gone' }],
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters.
const plain = (text: string) => text.replaceAll(/\x1b\[\d+m/g, '');

test('one line a job with its counts', () => {
  const line = plain(nightTable([row]))
    .split('\n')
    .find((each) => each.includes(row.job));
  expect(line?.trim().split(/\s{2,}/)).toEqual([
    'gym.commitment-scores',
    '0 2 * * *',
    '3',
    '6,000',
    '5,812',
    '0',
    '4.3 s',
    'ok',
  ]);
});

test('a job without items shows none', () => {
  const line = plain(nightTable([{ ...row, kind: 'task', items: 0, changed: 0 }]))
    .split('\n')
    .find((each) => each.includes(row.job));
  expect(line?.trim().split(/\s{2,}/)).toEqual([
    'gym.commitment-scores',
    '0 2 * * *',
    '3',
    '–',
    '–',
    '0',
    '4.3 s',
    'ok',
  ]);
});

test('each failed run and each skipped job is told below the table', () => {
  const skipped: NightRow = {
    ...row,
    job: 'gym.at-risk-detection',
    status: 'skipped',
    note: 'its schedule is disabled',
  };
  const text = plain(nightTable([failed, skipped]));
  expect(text).toContain('failed  gym.coach-actions for iron-works: the coach is gone');
  expect(text).toContain('skipped gym.at-risk-detection: its schedule is disabled');
});

test('failed runs fail a night, item errors do not', () => {
  expect(nightFailed([row, { ...row, status: 'completed_with_item_errors', errors: 2 }])).toBe(false);
  expect(nightFailed([row, failed])).toBe(true);
});

test('progress shows how far the items are, and who tries again when', () => {
  const progress = {
    kind: 'progress',
    job: 'gym.coach-actions',
    processed: 1_500,
    expected: 3_000,
    openRuns: 1,
  } as const;
  expect(progressLine({ ...progress, retrying: [] })).toBe(
    `gym.coach-actions        ${'█'.repeat(12)}${'░'.repeat(12)}  1,500 of 3,000`,
  );
  const at = new Date('2026-11-21T02:10:00Z');
  expect(progressLine({ ...progress, expected: null, retrying: [{ tenant: 'north', at }] })).toMatch(
    /░ {2}1,500, north tries again at 02:10:00 UTC$/,
  );
});
