import { expect, test } from 'vitest';
import { reportPeers } from './report.ts';
import type { Sample } from './sample.ts';
import type { SystemName } from './system.ts';

const drained = (system: SystemName, rate: number, otherLoad = 0): Sample => ({
  measure: 'drain',
  system,
  round: 1,
  figures: { rate, cpu: 0.05 },
  otherLoad,
});

const verdict = (samples: readonly Sample[], claim: string) =>
  reportPeers(samples, []).verdicts.find((one) => one.claim === claim);

test('a ratio is met, missed, or was not measured', () => {
  const claim = 'no-op drain, one worker, against raw BullMQ';
  expect(verdict([drained('nightshift', 30_000), drained('bullmq', 10_000)], claim)).toMatchObject({
    target: '≥ 1.5×',
    found: '3.00×',
    met: true,
  });
  expect(verdict([drained('nightshift', 14_000), drained('bullmq', 10_000)], claim)?.met).toBe(false);
  expect(verdict([drained('nightshift', 14_000)], claim)).toMatchObject({ found: '', met: null });
});

test('a ratio that misses its bound is not rounded up to it', () => {
  const samples = [drained('nightshift', 14_990), drained('bullmq', 10_000)];
  const claim = 'no-op drain, one worker, against raw BullMQ';
  expect(verdict(samples, claim)).toMatchObject({ found: '1.4990×', met: false });
});

test('a bound is met at its value and missed above', () => {
  const claim = 'FLUSHALL: runs lost';
  const flushed = (lost: number): Sample => ({ ...drained('nightshift', 1), measure: 'flush', figures: { lost } });
  expect(verdict([flushed(0)], claim)?.met).toBe(true);
  expect(verdict([flushed(1)], claim)?.met).toBe(false);
});

test('the best peer is the fastest of those that were measured, without the one whose handler takes batches', () => {
  const updated = (system: SystemName, rate: number): Sample => ({ ...drained(system, rate), measure: 'update' });
  const samples = [updated('nightshift', 8_000), updated('bullmq', 1_000), updated('pg-boss-batch', 6_000)];
  expect(verdict(samples, 'useful job against the best peer')?.found).toBe('8.00×');
});

test('what others did to the figures, and what could not be measured, is said', () => {
  const { text } = reportPeers([drained('nightshift', 1, 0.4)], ['flush, bullmq, round 1: no answer']);
  expect(text).toContain('more than 20 % of the machine during 1 of 1');
  expect(text).toContain('- flush, bullmq, round 1: no answer');
  expect(reportPeers([drained('nightshift', 1)], []).text).not.toContain('noise');
});
