import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Built: what it tests is a process of its own. */
const { keep } = (await import(
  new URL('../dist/peers/memory.js', import.meta.url).href
)) as typeof import('./peers/memory.ts');

test('memory that is kept is given back but for a part of it, and the process for it ends with its user', async () => {
  const kept = await keep(512);
  const rssKb = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${kept.pid}/status`, 'utf8'))?.[1]);
  // All of it, were it not given back, beside Node's own.
  expect(rssKb / 1_024).toBeLessThan(300);
  await kept.release();
  expect(existsSync(`/proc/${kept.pid}`)).toBe(false);
});

test('memory that cannot be had is an error', async () => {
  await expect(keep(0)).rejects.toThrow('0 MiB of memory could not be kept: the process for it ended with 1');
});
