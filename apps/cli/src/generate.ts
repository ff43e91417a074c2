import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedDocuments } from './generate/documents.ts';
import { lineDifference, replacePart } from './generate/write-part.ts';
import { REPOSITORY_ROOT } from './home.ts';

// `node dist/generate.js` writes what is derived from code; `--check` fails, with the difference, when a file is stale.

const check = process.argv.includes('--check');
let stale = 0;
for (const { path, part, content } of generatedDocuments()) {
  const file = join(REPOSITORY_ROOT, path);
  const is = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const shouldBe = part === null ? content : replacePart(path, is, part, content);
  if (is === shouldBe) continue;
  if (!check) {
    writeFileSync(file, shouldBe);
    process.stdout.write(`${path} written\n`);
    continue;
  }
  stale += 1;
  process.stderr.write(`${path} is stale; write it with: node apps/cli/dist/generate.js\n`);
  for (const line of lineDifference(is, shouldBe)) process.stderr.write(`  ${line}\n`);
}
process.exitCode = stale === 0 ? 0 : 1;
