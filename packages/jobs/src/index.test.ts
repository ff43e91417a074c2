import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { jobs } from './index.ts';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));

interface JobFile {
  readonly path: string;
  readonly exports: Readonly<Record<string, unknown>>;
}

function jobFilesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.job.ts'));
}

/** One sentence for each job file that the catalogue doesn't know, or that declares no job. */
function unregistered(files: readonly JobFile[], catalogue: readonly unknown[]): string[] {
  return files
    .filter(({ exports }) => !Object.values(exports).some((value) => catalogue.includes(value)))
    .map(({ path }) => `${path} is not in packages/jobs/src/index.ts: add its job to the list`);
}

test('every *.job.ts is in the catalogue, so that none compiles and never runs', async () => {
  const paths = jobFilesBelow(SOURCE);
  const files = await Promise.all(
    paths.map(async (path) => ({ path, exports: await import(/* @vite-ignore */ join(SOURCE, path)) })),
  );
  expect(unregistered(files, jobs)).toEqual([]);
  expect(paths).toHaveLength(jobs.length);
});

test('the check above can fail: a job left out of the list is named', async () => {
  const files = await Promise.all(
    jobFilesBelow(SOURCE).map(async (path) => ({ path, exports: await import(/* @vite-ignore */ join(SOURCE, path)) })),
  );
  expect(unregistered(files, jobs.slice(1))).toEqual([
    `${jobs[0]?.name.replace('.', '/')}.job.ts is not in packages/jobs/src/index.ts: add its job to the list`,
  ]);
  expect(unregistered([{ path: 'gym/orphan.job.ts', exports: { orphan: { name: 'gym.orphan' } } }], jobs)).toHaveLength(
    1,
  );
});

test('names are unique and tell system and file', () => {
  const names = jobs.map((job) => job.name);
  expect(new Set(names).size).toBe(names.length);
  const fromFiles = jobFilesBelow(SOURCE).map((path) =>
    path.replace('.job.ts', '').replaceAll('/', '.').replaceAll('\\', '.'),
  );
  expect([...names].sort()).toEqual(fromFiles.sort());
});
