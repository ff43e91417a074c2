// What has to be there before anything else runs: Node, dependencies, the build. Plain JavaScript without a
// dependency, because on a fresh machine nothing is installed yet. Everything is skipped when its stamp is current.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const OLDEST_NODE = [20, 19];
const WORKSPACES = ['apps', 'packages', 'bench'];
const NOT_SOURCE = new Set(['node_modules', 'dist', '.turbo', '.nightshift', 'coverage']);
const TEST_FILE = /\.(test|itest|e2e)\.tsx?$/;
const INSTALL_STAMP = join(root, 'node_modules', '.nightshift-install');
const BUILD_STAMP = join(root, 'node_modules', '.nightshift-build');

/** One line per step, on stderr: stdout belongs to the command that follows. */
export function report(step, text, startedAt) {
  const seconds = startedAt === undefined ? '' : `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s`;
  process.stderr.write(`  ${step.padEnd(14)} ${text.padEnd(54)}${seconds}`.trimEnd().concat('\n'));
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  process.stderr.write(
    `Nightshift needs Node ${OLDEST_NODE.join('.')} or newer, this is ${process.versions.node}: install a newer Node\n`,
  );
  process.exit(1);
}

function filesBelow(directory) {
  const found = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (NOT_SOURCE.has(entry.name)) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) found.push(...filesBelow(path));
    else if (entry.isFile() && !TEST_FILE.test(entry.name)) found.push(path);
  }
  return found;
}

function hashFiles(paths) {
  const hash = createHash('sha256').update(process.versions.node);
  for (const path of paths.sort()) {
    hash.update(`\0${path.slice(root.length)}\0`);
    hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

function workspaceFiles() {
  return WORKSPACES.map((name) => join(root, name))
    .filter(existsSync)
    .flatMap(filesBelow);
}

const rootFiles = (...names) => names.map((name) => join(root, name));
const isCurrent = (stamp, hash) => existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;

/** Runs quietly; what it said is shown only when it fails. */
function runQuietly(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ${args.join(' ')} ended with code ${code}\n${output.trim()}`));
    });
  });
}

function installHash() {
  const manifests = workspaceFiles().filter((path) => path.endsWith('package.json'));
  return hashFiles([...rootFiles('package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'), ...manifests]);
}

async function ensureDependencies() {
  const hash = installHash();
  if (isCurrent(INSTALL_STAMP, hash)) return;
  const startedAt = performance.now();
  // NODE_ENV=production would leave out what the build needs; CI keeps pnpm from asking questions.
  await runQuietly('npx', ['--yes', 'pnpm@12', 'install', '--frozen-lockfile'], {
    NODE_ENV: 'development',
    CI: 'true',
  });
  writeFileSync(INSTALL_STAMP, hash);
  report('dependencies', 'installed', startedAt);
}

function buildHash() {
  return hashFiles([...rootFiles('tsconfig.base.json', 'turbo.json', 'pnpm-lock.yaml'), ...workspaceFiles()]);
}

/** Whether apps/…/dist is what the sources say. */
function isBuilt() {
  return isCurrent(BUILD_STAMP, buildHash());
}

/** Builds what changed, through turbo, which runs each package's script with pnpm: npx puts that on the PATH. */
async function ensureBuild() {
  const hash = buildHash();
  if (isCurrent(BUILD_STAMP, hash)) return;
  const startedAt = performance.now();
  const turbo = ['--yes', 'pnpm@12', 'exec', 'turbo', 'run', 'build', '--output-logs=errors-only'];
  await runQuietly('npx', turbo, { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', TURBO_NO_UPDATE_NOTIFIER: '1' });
  writeFileSync(BUILD_STAMP, hash);
  report('build', 'done', startedAt);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function isAbandoned(lock, pidFile) {
  try {
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0;
    return pid > 0 ? !isAlive(pid) : Date.now() - statSync(lock).mtimeMs > 10_000;
  } catch {
    // Released between two looks.
    return false;
  }
}

/** Two starts in one checkout must not install into one another. */
async function oneAtATime(work) {
  const lock = join(tmpdir(), `nightshift-setup-${createHash('sha256').update(root).digest('hex').slice(0, 12)}`);
  const pidFile = join(lock, 'pid');
  for (;;) {
    try {
      mkdirSync(lock);
      writeFileSync(pidFile, String(process.pid));
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    await delay(200);
    if (isAbandoned(lock, pidFile)) rmSync(lock, { recursive: true, force: true });
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** Node, dependencies, build. Ends the process with one clear message when a step fails. */
export async function setUp() {
  checkNode();
  try {
    if (isCurrent(INSTALL_STAMP, installHash()) && isBuilt()) return;
    await oneAtATime(async () => {
      await ensureDependencies();
      await ensureBuild();
    });
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
