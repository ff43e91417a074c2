// The gate, the same for people and for CI: format, lint, types, dead code, generated files, tests.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { report, root } from './setup.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);

const CHECKS = [
  { name: 'format', command: bin('biome'), args: ['format', '.'] },
  { name: 'lint', command: bin('biome'), args: ['lint', '--error-on-warnings', '.'] },
  { name: 'types', command: bin('tsc'), args: ['-p', 'tsconfig.tests.json'] },
  { name: 'dead code', command: bin('knip'), args: [] },
  { name: 'generated', command: process.execPath, args: ['apps/cli/dist/generate.js', '--check'] },
];

// What a developer has set for running must not steer the tests.
const RUN_VARIABLES = [
  'DATABASE_URL',
  'REDIS_URL',
  'PORT',
  'NODE_ENV',
  'NIGHTSHIFT_HOME',
  'NIGHTSHIFT_NS',
  'LOG_LEVEL',
];

function testEnvironment() {
  const env = { ...process.env };
  for (const name of RUN_VARIABLES) delete env[name];
  return env;
}

function run(command, args, stdio) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: testEnvironment(), stdio });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.once('error', (error) => resolve({ code: 1, output: error.message }));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

async function runCheck({ name, command, args }) {
  const startedAt = performance.now();
  const { code, output } = await run(command, args, ['ignore', 'pipe', 'pipe']);
  report(name, code === 0 ? 'ok' : 'FAILED', startedAt);
  if (code !== 0) process.stderr.write(`${output.trim()}\n`);
  return code === 0;
}

function readCounts(file, exitCode) {
  let results;
  try {
    results = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // A file that can't be loaded has no failed test, yet it has failed.
  const broken = results.testResults.filter(
    (result) => result.status === 'failed' && result.assertionResults.every((test) => test.status !== 'failed'),
  );
  const failed = results.numFailedTests + broken.length;
  return {
    passed: results.numPassedTests,
    failed: exitCode !== 0 && failed === 0 ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  };
}

/** Whole processes mostly wait, for leases and timeouts: beside them there is room for the others. */
const SUITES = [['--project=unit', '--project=integration'], ['--project=e2e']];

async function runSuite(args, directory, name, stdio) {
  const file = join(directory, `${name}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const { code, output } = await run(bin('vitest'), ['run', ...reporters, ...args], stdio);
  return { ...readCounts(file, code), output };
}

async function runTests(filters) {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-gate-'));
  const [shown, ...behind] = filters.length > 0 ? [filters] : SUITES;
  const suites = await Promise.all([
    runSuite(shown, directory, 'suite', 'inherit'),
    ...behind.map((args, index) => runSuite(args, directory, `suite-${index}`, ['ignore', 'pipe', 'pipe'])),
  ]);
  rmSync(directory, { recursive: true, force: true });
  for (const { output } of suites) process.stdout.write(output);
  const sum = (count) => suites.reduce((total, suite) => total + suite[count], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

/**
 * Runs every check, also after a failed one, then the tests; the last line says `N passed, N failed`, where a failed
 * check counts as one failure. With filters only the tests run. Returns the exit code.
 */
export async function runGate(filters = []) {
  let failedChecks = 0;
  for (const check of filters.length > 0 ? [] : CHECKS) if (!(await runCheck(check))) failedChecks += 1;
  const { passed, failed, skipped } = await runTests(filters);
  if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
  if (failedChecks > 0) process.stdout.write(`${failedChecks} of ${CHECKS.length} checks failed, counted below\n`);
  process.stdout.write(`${passed} passed, ${failed + failedChecks} failed\n`);
  return failed + failedChecks === 0 ? 0 : 1;
}
