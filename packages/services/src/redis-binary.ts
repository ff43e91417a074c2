import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { MissingBinaryError } from './errors.ts';

type Log = (line: string) => void;

const NAMES = ['redis-server', 'valkey-server'] as const;
const OLDEST_MAJOR = 6;
// Homebrew's and Debian's places, which a bare PATH may lack.
const EXTRA_DIRECTORIES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
const TO_INSTALL =
  'install Redis 6.2 or newer (Debian: apt-get install redis-server; macOS: brew install redis), or set REDIS_URL';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isRecent(path: string): boolean {
  const output = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  return Number(/v=(\d+)\./.exec(output)?.[1] ?? 0) >= OLDEST_MAJOR;
}

function findOnPath(): string | null {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...EXTRA_DIRECTORIES];
  for (const name of NAMES) {
    for (const directory of directories) {
      const path = join(directory, name);
      if (directory !== '' && isExecutable(path) && isRecent(path)) return path;
    }
  }
  return null;
}

function run(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(code === 0));
  });
}

/**
 * The package would start a Redis on 6379 and at each boot, which is none of our business: a policy forbids the start
 * during the install, and the unit is disabled afterwards. A policy that was there (containers have one) stays.
 */
const APT_SCRIPT = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=120 update || true
apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends redis-server
if command -v systemctl >/dev/null 2>&1; then systemctl disable redis-server >/dev/null 2>&1 || true; fi
`;

function isDebianLike(): boolean {
  try {
    return /^(ID|ID_LIKE)=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

async function installWithApt(log: Log): Promise<void> {
  if (!isDebianLike()) return;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && spawnSync('sudo', ['-n', 'true']).status !== 0) return;
  log('Redis is missing: installing the package redis-server with apt (its system service stays off)');
  await run(isRoot ? '/bin/sh' : 'sudo', isRoot ? ['-c', APT_SCRIPT] : ['-n', '/bin/sh', '-c', APT_SCRIPT]);
}

async function installWithBrew(log: Log): Promise<void> {
  if (process.platform !== 'darwin' || spawnSync('brew', ['--version']).status !== 0) return;
  log('Redis is missing: installing it with brew');
  await run('brew', ['install', 'redis']);
}

interface RedisBuilder {
  default: { getPath(options: { version: string; downloadDir: string }): Promise<string> };
}

/** Downloads the source and builds it (make and a C compiler are needed); kept for all later starts of this user. */
async function buildFromSource(log: Log): Promise<string> {
  const downloadDir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'nightshift', 'redis');
  mkdirSync(downloadDir, { recursive: true });
  if (!existsSync(join(downloadDir, 'stable')))
    log('Redis is missing: building it from source, which takes a minute or two');
  const imported: unknown = await import('redis-memory-server/lib/util/RedisBinary.js');
  const module = imported as RedisBuilder | { default: RedisBuilder };
  const builder = 'getPath' in module.default ? module.default : module.default.default;
  return await builder.getPath({ version: 'stable', downloadDir });
}

/**
 * The path of a real redis-server or valkey-server: on PATH, else installed (apt, brew), else built.
 * @throws MissingBinaryError saying what to install.
 */
export async function findRedis(log: Log): Promise<string> {
  const present = findOnPath();
  if (present !== null) return present;
  await installWithApt(log);
  await installWithBrew(log);
  const installed = findOnPath();
  if (installed !== null) return installed;
  try {
    return await buildFromSource(log);
  } catch (cause) {
    throw new MissingBinaryError(`found no redis-server or valkey-server and could not build one: ${TO_INSTALL}`, {
      cause,
    });
  }
}
