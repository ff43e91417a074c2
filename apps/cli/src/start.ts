import { startAll } from './start/start-all.ts';

// npm hands Ctrl-C on to a child that the terminal has told already: two at once are one.
const SAME_SIGNAL_MS = 500;
const PARENT_CHECK_MS = 1_000;

class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

const stop = new AbortController();
const force = new AbortController();
let firstAt = 0;

function onSignal(signal: string): void {
  if (!stop.signal.aborted) {
    firstAt = performance.now();
    stop.abort(new StoppedError(`stopped by ${signal}`));
  } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
    force.abort(new StoppedError(`forced by ${signal}`));
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => onSignal(signal));

// A killed npm can't tell us anything: we would run on without anybody who could stop us.
const parent = process.ppid;
if (process.env.npm_lifecycle_event === 'start') {
  setInterval(() => {
    if (process.ppid !== parent) onSignal('the end of npm');
  }, PARENT_CHECK_MS).unref();
}

const once = process.argv.includes('--once');
const unknown = process.argv.slice(2).filter((argument) => argument !== '--once');

async function main(): Promise<number> {
  if (unknown.length > 0) {
    process.stderr.write(`unknown argument ${unknown.join(' ')}: npm start takes only -- --once\n`);
    return 2;
  }
  try {
    return await startAll({ env: process.env, once, out: process.stdout, stop: stop.signal, force: force.signal });
  } catch (error) {
    if (error instanceof StoppedError) return once ? 130 : 0;
    process.stderr.write(`\n  ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

process.exit(await main());
