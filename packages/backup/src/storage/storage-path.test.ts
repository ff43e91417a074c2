import { expect, test } from 'vitest';
import { storagePathSchema } from './storage-path.ts';

const takes = (path: string) => storagePathSchema.safeParse(path).success;

test.each(['', 'nightly', 'nightly/clinic', 'a.b/c-d_e', '2026/11/22', 'console', 'a'.repeat(64)])(
  '%j is a place',
  (path) => {
    expect(takes(path)).toBe(true);
  },
);

test.each([
  '..', '.', '../x', 'a/../b', 'a/..', '/etc', '/', 'a/', 'a//b', '~', '~root/x', 'C:\\x', 'C:x', 'a\\b', '\\\\host\\share', 'a\0b', 'a\nb', ' a', 'a b',
  '.hidden', 'a/.ssh', 'con', 'NUL', 'aux.txt', 'lpt1', 'a/COM7.log', 'a.', '%2e%2e/x', '．．/x', 'ä', 'a'.repeat(65), 'a/'.repeat(150), 'x'.repeat(300),
])('%j is none', (path) => {
  expect(takes(path)).toBe(false);
}); // biome-ignore format: a list of paths
