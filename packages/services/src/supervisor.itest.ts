import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ChildNotReadyError } from './errors.ts';
import { identifyProcess, isRunning, type ProcessIdentity, waitForExit } from './process-identity.ts';
import { removePostgresDirectory } from './start-postgres.ts';
import type { AppSpec } from './supervised-app.ts';
import { createSupervisor, type Supervisor, type SupervisorEvent } from './supervisor.ts';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

// An app as the supervisor expects it: says that it is ready, stops on SIGTERM and when its parent has gone.
const APP = `
import { appendFileSync } from 'node:fs';
if (process.env.BROKEN) process.exit(3);
const stop = () => { appendFileSync(process.env.TRACE, [process.env.NAME, ...process.execArgv].join(' ') + '\\n'); process.exit(0); };
process.on('SIGTERM', process.env.STUBBORN ? () => {} : stop);
process.on('disconnect', process.env.STUBBORN ? () => {} : () => process.exit(0));
setInterval(() => {}, 1000);
process.send({ type: 'ready' });
`;

let root: string;
let supervisor: Supervisor | null = null;
let events: SupervisorEvent[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nightshift-supervisor-'));
  chmodSync(root, 0o755);
  writeFileSync(join(root, 'app.mjs'), APP);
  events = [];
});

afterEach(async () => {
  await supervisor?.force();
  supervisor = null;
  removePostgresDirectory(join(root, 'postgres'));
  rmSync(root, { recursive: true, force: true });
});

async function make(): Promise<Supervisor> {
  supervisor = await createSupervisor({
    recordFile: join(root, 'processes.json'),
    onEvent: (event) => events.push(event),
  });
  return supervisor;
}

function app(name: string, role: AppSpec['role'], env: Record<string, string> = {}): AppSpec {
  return {
    name,
    role,
    entry: join(root, 'app.mjs'),
    env: { PATH: process.env.PATH, NAME: name, TRACE: join(root, 'trace'), ...env },
    logFile: join(root, `${name}.log`),
  };
}

function identityOf(pid: number | undefined): ProcessIdentity {
  const identity = pid === undefined ? null : identifyProcess(pid);
  if (identity === null) throw new Error(`expected a live process, got pid ${pid}`);
  return identity;
}

test('it stops the API before the workers, which have flags of their own', async () => {
  const fleet = await make();
  await fleet.superviseApp(app('worker-1', 'worker'));
  await fleet.superviseApp(app('api-1', 'api'));
  const pids = [...fleet.pids('api'), ...fleet.pids('worker')].map(identityOf);
  await fleet.stop();
  expect(readFileSync(join(root, 'trace'), 'utf8')).toBe(
    'api-1\nworker-1 --no-memory-reducer --single-threaded-gc --expose-gc\n',
  );
  expect(pids.some(isRunning)).toBe(false);
  expect(existsSync(join(root, 'processes.json'))).toBe(false);
});

test('a killed app comes back with a new pid, and says so', async () => {
  const fleet = await make();
  await fleet.superviseApp(app('worker-1', 'worker'));
  const [before] = fleet.pids('worker');
  process.kill(identityOf(before).pid, 'SIGKILL');
  await vi.waitFor(() => expect(events.map((event) => event.type)).toEqual(['exited', 'restarted']), {
    timeout: 20_000,
  });
  const [after] = fleet.pids('worker');
  expect(after).not.toBe(before);
  expect(events[0]).toMatchObject({ name: 'worker-1', signal: 'SIGKILL' });
});

test('an app that ends before it is ready is an error that names its log', async () => {
  const fleet = await make();
  const start = fleet.superviseApp(app('api-1', 'api', { BROKEN: '1' }));
  await expect(start).rejects.toThrow(ChildNotReadyError);
  await expect(start).rejects.toThrow(/api-1 ended before it was ready \(code 3\).*api-1\.log/);
  expect(fleet.pids('api')).toEqual([]);
});

test('force ends an app that does not listen', async () => {
  const fleet = await make();
  await fleet.superviseApp(app('worker-1', 'worker', { STUBBORN: '1' }));
  const worker = identityOf(fleet.pids('worker')[0]);
  void fleet.stop();
  expect(isRunning(worker)).toBe(true);
  await fleet.force();
  expect(isRunning(worker)).toBe(false);
});

test('leftovers of an earlier supervisor are ended; a stranger under a recorded number is not', async () => {
  const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const leftover = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const known = identityOf(leftover.pid);
  const other = identityOf(stranger.pid);
  writeFileSync(join(root, 'processes.json'), JSON.stringify([known, { ...other, startedAt: 'another boot' }]));
  expect((await make()).reaped).toBe(1);
  expect(isRunning(known)).toBe(false);
  expect(isRunning(other)).toBe(true);
  stranger.kill('SIGKILL');
});

describe('a supervisor that is killed', () => {
  // A process of its own runs the built package: Node 20 can't load TypeScript.
  const PARENT = `
    import { createSupervisor, startPostgres, startRedis } from ${JSON.stringify(join(PACKAGE, 'dist', 'index.js'))};
    const root = process.env.ROOT;
    const s = await createSupervisor({ recordFile: root + '/processes.json', onEvent: () => {} });
    const settings = { fsync: 'off', shared_buffers: '16MB' };
    const pg = await s.superviseServer('postgres', () => startPostgres({ dir: root + '/postgres', settings }));
    const redis = await s.superviseServer('redis', () => startRedis({ dir: root + '/redis' }));
    await s.superviseApp({ name: 'w', role: 'worker', entry: root + '/app.mjs', env: process.env, logFile: root + '/w.log' });
    console.log(JSON.stringify([pg.pid, redis.pid, ...s.pids('worker')]));
    setInterval(() => {}, 1000);
  `;

  async function startParent(): Promise<{ parent: ReturnType<typeof spawn>; processes: ProcessIdentity[] }> {
    execFileSync(process.execPath, [join(PACKAGE, '../../node_modules/typescript/bin/tsc'), '-b'], { cwd: PACKAGE });
    const parent = spawn(process.execPath, ['--input-type=module', '-e', PARENT], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ROOT: root, TRACE: join(root, 'trace'), NAME: 'w' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve, reject) => {
      createInterface({ input: parent.stdout }).once('line', resolve);
      parent.once('exit', () => reject(new Error('the supervisor ended early')));
    });
    return { parent, processes: (JSON.parse(line) as number[]).map(identityOf) };
  }

  test('leaves no process behind, and the next start works', async () => {
    const { parent, processes } = await startParent();
    expect(processes).toHaveLength(3);
    parent.kill('SIGKILL');
    for (const identity of processes) expect(await waitForExit(identity, 40_000)).toBe(true);
    const next = await startParent();
    next.parent.kill('SIGKILL');
    for (const identity of next.processes) expect(await waitForExit(identity, 40_000)).toBe(true);
  });
});
