import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import type { Sample } from './peers/sample.ts';

const SCRIPT = fileURLToPath(new URL('../dist/peers.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'nightshift-peers-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the peer benchmark measures Nightshift and BullMQ in processes of their own', async () => {
  const json = join(dir, 'figures.json');
  const args = ['--quick', '--only', 'update,flush', '--systems', 'nightshift,bullmq', '--json', json];
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, ...args]);
  const { samples, problems } = JSON.parse(readFileSync(json, 'utf8')) as { samples: Sample[]; problems: string[] };
  expect(problems).toEqual([]);
  const figure = (measure: string, system: string, name: string) =>
    samples.find((sample) => sample.measure === measure && sample.system === system)?.figures[name];
  for (const system of ['nightshift', 'bullmq']) expect(figure('update', system, 'rate')).toBeGreaterThan(0);
  expect(figure('flush', 'nightshift', 'lost')).toBe(0);
  expect(stdout).toContain('| useful job against the best peer | ≥ 4× |');
});
