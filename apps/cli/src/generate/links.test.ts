import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { REPOSITORY_ROOT } from '../home.ts';

const documents = [
  ...readdirSync(REPOSITORY_ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(REPOSITORY_ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

/** Where a path in a document may begin: the repository, the engine (which most documents are about). */
const ROOTS = ['', 'packages/engine/src', 'packages/db'];

function brokenLinks(path: string, text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map((match) => match[1] ?? '');
  return targets.filter(
    (target) => !/^https?:/.test(target) && !existsSync(join(REPOSITORY_ROOT, dirname(path), target)),
  );
}

/** Files and folders named in code spans; patterns such as `<system>/…`, `*.job.ts` and `NNNN-words.md` name none. */
function missingPaths(text: string): string[] {
  const prose = text.replaceAll(/```[\s\S]*?```/g, '');
  const spans = [...prose.matchAll(/`([\w.@/-]+)`/g)].map((match) => match[1] ?? '');
  const paths = spans.filter(
    (span) =>
      /^(apps|packages|docs|scripts|deploy)\/[\w.-]/.test(span) || /^[\w-]+(\/[\w-]+)*\.(ts|sql|yml)$/.test(span),
  );
  return paths.filter(
    (path) => !path.includes('NNNN') && !ROOTS.some((root) => existsSync(join(REPOSITORY_ROOT, root, path))),
  );
}

test('documents are found', () => {
  expect(documents).toContain('README.md');
  expect(documents).toContain(join('docs', 'ARCHITECTURE.md'));
});

test.each(documents)('%s names only what exists', (path) => {
  const text = readFileSync(join(REPOSITORY_ROOT, path), 'utf8');
  expect({ links: brokenLinks(path, text), paths: missingPaths(text) }).toEqual({ links: [], paths: [] });
});

test('a broken link and a missing file are seen', () => {
  expect(brokenLinks('README.md', '[a](docs/nowhere.md), [b](docs/security.md), [c](https://example.org)')).toEqual([
    'docs/nowhere.md',
  ]);
  expect(missingPaths('`packages/nowhere/x.ts`, `halve.ts`, `<home>/dev.json`, `.test.ts`')).toEqual([
    'packages/nowhere/x.ts',
  ]);
});
