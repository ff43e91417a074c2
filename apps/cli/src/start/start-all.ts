import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { seedDemo } from '@nightshift/db/demo';
import { createCatalogue } from '@nightshift/engine';
import { createProducer } from '@nightshift/engine/accept';
import { jobs } from '@nightshift/jobs';
import { claimDirectory, createSupervisor, type Supervisor, type SupervisorEvent } from '@nightshift/services';
import pc from 'picocolors';
import { pino } from 'pino';
import { cliEnvSchema } from '../env.ts';
import { type Environment, homeDirectory } from '../home.ts';
import type { MailSink } from '../mail/mail-sink.ts';
import { nightFailed, nightTable, runNight } from '../night.ts';
import { showNightProgress } from '../night-table.ts';
import { removeDevFile, writeDevFile } from './dev-file.ts';
import { choosePort, startFleet } from './fleet.ts';
import { startMail } from './mail.ts';
import { loadSecrets, type Secrets } from './secrets.ts';
import { migrateDatabase, type StartedServers, startServers } from './servers.ts';
import { createSteps, type Steps } from './steps.ts';

export interface StartOptions {
  env: Environment;
  /** End after the night's table, with the clock loop off. */
  once: boolean;
  out: NodeJS.WriteStream;
  /** Aborted: stop everything, cleanly. */
  stop: AbortSignal;
  /** Aborted: stop everything, now. */
  force: AbortSignal;
}

interface Installation {
  home: string;
  production: boolean;
  secrets: Secrets;
  servers: StartedServers;
  apiUrl: string;
  mail: MailSink | null;
}

const count = (value: number) => value.toLocaleString('en-US');
/** `1 clinic`, `3,000 clients`. */
const some = (value: number, noun: string) => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** Rejects with the signal's reason when it is aborted first; what `work` does then is stopped by the supervisor. */
async function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  work.catch(() => {});
  return await Promise.race([work, aborted]);
}

/** Rows of the demo, by `NIGHTSHIFT_DEMO`. */
const DEMO_SIZES = {
  normal: { gyms: 3, members: 2_000, facilities: 3, clients: 1_000, organisations: 2 },
  small: { gyms: 3, members: 40, days: 60, facilities: 1, clients: 40, organisations: 1, organisationUsers: 20, zakatUsers: 40 },
} as const; // biome-ignore format: a line a size

async function prepareData(
  servers: StartedServers,
  secrets: Secrets,
  { env, production }: { readonly env: Environment; readonly production: boolean },
  steps: Steps,
): Promise<void> {
  await steps.run('schema', async () => {
    await migrateDatabase(servers);
    return 'up to date';
  });
  if (production) return;
  const more: string[] = [];
  await steps.run('demo data', async () => {
    const seeded = await seedDemo({
      adminUrl: servers.adminDatabaseUrl,
      ...DEMO_SIZES[cliEnvSchema.shape.NIGHTSHIFT_DEMO.parse(env.NIGHTSHIFT_DEMO || undefined)],
      encryptionKeys: secrets.encryptionKeys,
    });
    if (!seeded.seeded) return 'kept';
    const { clinic, medication, zakat, litigation } = seeded;
    more.push(
      `${some(clinic.facilities, 'clinic')}, ${some(clinic.clients, 'client')}; ${some(litigation.firms, 'law firm')}`,
      `${some(medication.organisations, 'health organisation')}, ${some(medication.users, 'user')}; ${some(zakat.users, 'zakat user')}`,
    );
    return `${some(seeded.gyms, 'gym')}, ${some(seeded.members, 'member')}, ${some(seeded.visits, 'visit')}`;
  });
  for (const line of more) steps.line('', line);
}

function saveDevFile(installation: Installation, supervisor: Supervisor): void {
  if (installation.production) return;
  const { home, servers, secrets, apiUrl, mail } = installation;
  writeDevFile(home, {
    apiUrl,
    ...servers,
    cronSecret: secrets.cronSecret,
    functionsApiKey: secrets.functionsApiKey,
    jwtSecret: secrets.jwtSecret,
    smtpUrl: mail?.smtpUrl ?? null,
    mailUrl: mail?.webUrl ?? null,
    pids: { api: supervisor.pids('api'), worker: supervisor.pids('worker') },
  });
}

function describeEvent(event: SupervisorEvent): string {
  switch (event.type) {
    case 'exited':
      return `${event.name} ended (${event.signal ?? `code ${event.code}`}), it is started again in ${event.restartInMs} ms`;
    case 'restarted':
      return `${event.name} is back as process ${event.pid}`;
    case 'restart-failed':
      return `${event.name} did not come back (${event.error.message.split('\n')[0]}), next try in ${event.restartInMs} ms`;
    default:
      return event satisfies never;
  }
}

/** Tonight's schedules, once. Returns whether every run ended well. */
async function nightOnce(installation: Installation, options: StartOptions, steps: Steps): Promise<boolean> {
  const producer = createProducer({
    databaseUrl: installation.servers.databaseUrl,
    redisUrl: installation.servers.redisUrl,
    namespace: options.env.NIGHTSHIFT_NS || 'ns',
    encryptionKeys: installation.secrets.encryptionKeys,
    catalogue: createCatalogue(jobs),
    log: pino(pino.destination({ dest: join(installation.home, 'logs', 'start.log'), sync: true })),
    poolMax: 4,
  });
  try {
    steps.text(`\n  ${pc.bold('Tonight, now')}`);
    const rows = await runNight({
      producer,
      actor: 'npm start',
      onProgress: showNightProgress(options.out),
      signal: options.stop,
      retries: 0,
    });
    steps.text(`${nightTable(rows)}\n`);
    return !nightFailed(rows);
  } finally {
    await producer.close();
  }
}

function printAddresses({ apiUrl, home, secrets, production, mail }: Installation, steps: Steps): void {
  steps.line('API', `${apiUrl}/v1/jobs`);
  steps.line('reference', `${apiUrl}/docs`);
  steps.line('Bull Board', `${apiUrl}/admin/queues`);
  if (!production) {
    steps.line('sign in', `as admin, password ${pc.bold(secrets.boardPassword)}`);
    steps.line('token', 'npm run -s nightshift -- token --role admin');
  }
  if (mail !== null) steps.line('mail', mail.webUrl);
  steps.line('state, logs', home);
  steps.text(`\n  ${pc.dim('Ctrl-C stops everything.')}\n`);
}

async function bringUp(
  home: string,
  mail: MailSink | null,
  supervisor: Supervisor,
  options: StartOptions,
  steps: Steps,
): Promise<Installation> {
  const production = options.env.NODE_ENV === 'production';
  const secrets = loadSecrets(home, options.env, production);
  const within = <T>(work: Promise<T>) => untilAborted(options.stop, work);
  const port = await choosePort(options.env, steps);
  const servers = await within(startServers(home, options.env, secrets, supervisor, steps));
  await within(prepareData(servers, secrets, { env: options.env, production }, steps));
  let apiUrl = '';
  const fleet = { mail, home, env: options.env, production, servers, secrets, port, clock: !options.once };
  await within(
    steps.run('apps', async () => {
      apiUrl = await startFleet(fleet, supervisor, options.stop);
      return `API and ${supervisor.pids('worker').length} workers, ${apiUrl}`;
    }),
  );
  return { home, production, secrets, servers, apiUrl, mail };
}

function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    // A signal alone keeps no process alive; the children's channels do.
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function live(home: string, options: StartOptions, steps: Steps): Promise<number> {
  let installation: Installation | null = null;
  const supervisor: Supervisor = await createSupervisor({
    recordFile: join(home, 'processes.json'),
    onEvent(event) {
      steps.note(describeEvent(event));
      if (installation !== null) saveDevFile(installation, supervisor);
    },
  });
  options.force.addEventListener('abort', () => void supervisor.force());
  let mail: MailSink | null = null;
  try {
    mail = await startMail(home, options.env, options.env.NODE_ENV === 'production', steps);
    installation = await bringUp(home, mail, supervisor, options, steps);
    saveDevFile(installation, supervisor);
    const clean = await nightOnce(installation, options, steps);
    if (options.once) return clean ? 0 : 1;
    printAddresses(installation, steps);
    await untilStopped(options.stop);
    return 0;
  } finally {
    const stopping = options.once && !options.stop.aborted ? null : 'stopping';
    if (stopping !== null) steps.text(`\n  ${pc.dim('Stopping …')}`);
    await supervisor.stop();
    await mail?.close();
    removeDevFile(home);
  }
}

/**
 * The whole platform on this machine: servers, schema, demo data, API, workers, one night. Resolves to the exit code
 * when it has stopped, with no process left.
 * @throws AlreadyRunningError naming the pid that runs this home, and whatever keeps a step from succeeding.
 */
export async function startAll(options: StartOptions): Promise<number> {
  const home = homeDirectory(options.env);
  const steps = createSteps(options.out);
  const isNew = !existsSync(home);
  mkdirSync(home, { recursive: true });
  const claim = claimDirectory(home, 'Nightshift');
  try {
    removeDevFile(home);
    if (isNew) steps.line('home', home);
    return await live(home, options, steps);
  } finally {
    claim.release();
  }
}
