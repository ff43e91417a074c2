import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAdmin } from './fleet/admin.ts';
import { signToken } from './fleet/caller.ts';
import { type ReplayedStep, readMails, replaySeed, SEEDS, type Site } from './seeds/index.ts';

const USAGE = `Replays what the systems' documents show (curl lines, cron entries, SQL) against a running npm start, and compares the answers.
  node bench/dist/seeds.js [system …]    default: all; the home is NIGHTSHIFT_HOME, or .nightshift of the repository`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

interface DevFile {
  readonly apiUrl: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly mailUrl: string | null;
  readonly adminDatabaseUrl: string;
  readonly cronSecret: string;
  readonly functionsApiKey: string;
  readonly jwtSecret: string;
}

function readDev(home: string): DevFile {
  try {
    return JSON.parse(readFileSync(join(home, 'dev.json'), 'utf8')) as DevFile;
  } catch (error) {
    throw new Error(`nothing runs in ${home}: start it with npm start`, { cause: error });
  }
}

function readEncryptionKeys(home: string): string {
  const stored = JSON.parse(readFileSync(join(home, 'secrets.json'), 'utf8')) as { encryptionKeys: string };
  return process.env.ENCRYPTION_KEYS || stored.encryptionKeys;
}

function workerLog(home: string): string {
  const logs = join(home, 'logs');
  const names = readdirSync(logs).filter((name) => name.startsWith('worker-'));
  return names.map((name) => readFileSync(join(logs, name), 'utf8')).join('\n');
}

/** Returns whether every answer was as shown. */
async function main(chosen: readonly string[]): Promise<boolean> {
  const unknown = chosen.filter((name) => SEEDS.every((seed) => seed.system !== name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}\n${USAGE}`);
  const home = process.env.NIGHTSHIFT_HOME ?? fileURLToPath(new URL('../../.nightshift', import.meta.url));
  const dev = readDev(home);
  const { mailUrl } = dev;
  const admin = createAdmin(dev.adminDatabaseUrl);
  const site: Site = {
    ...dev,
    env: {
      DATABASE_URL: dev.databaseUrl,
      REDIS_URL: dev.redisUrl,
      NIGHTSHIFT_NS: process.env.NIGHTSHIFT_NS || 'ns',
      ENCRYPTION_KEYS: readEncryptionKeys(home),
    },
    token: (claims) => signToken(dev.jwtSecret, claims),
    rows: admin.rows,
    workerLog: () => workerLog(home),
    mails: async () => (mailUrl === null ? [] : readMails(mailUrl)),
  };
  let same = true;
  try {
    for (const seed of SEEDS.filter(({ system }) => chosen.length === 0 || chosen.includes(system))) {
      say(`\n${seed.system}`);
      const steps = await replaySeed(seed, site, sayStep);
      same = same && steps.every((step) => step.differences.length === 0);
    }
    return same;
  } finally {
    await admin.close();
  }
}

function sayStep({ shows, differences }: ReplayedStep): void {
  say(`  ${differences.length === 0 ? 'same     ' : 'DIFFERENT'}  ${shows.split('\n')[0]}`);
  for (const one of differences) say(`             ${one}`);
}

const args = process.argv.slice(2);
if (args.includes('--help')) say(USAGE);
else {
  try {
    process.exitCode = (await main(args)) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 2;
  }
}
