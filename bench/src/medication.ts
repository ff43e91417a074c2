import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrl, migrate } from '@nightshift/db';
import { demoOrganisationTenantId, seedDemo } from '@nightshift/db/demo';
import { createCatalogue } from '@nightshift/engine';
import { createProducer, type Producer } from '@nightshift/engine/accept';
import { startWorker } from '@nightshift/engine/worker';
import { jobs, templates } from '@nightshift/jobs';
import { startPostgres, startRedis } from '@nightshift/services';
import pg from 'pg';
import { pino } from 'pino';
import { documented } from './documented.ts';

// Interaction checks of 20 medications: how long one takes in the worker, claim and commit included, and from accept to end.

const CHECKS = Number(process.argv[2] ?? 1_000);
const WARM_UP = 100;
const MEDICATIONS = 20;
const TARGET_P99_MS = 50;
const DATABASE = 'nightshift';

const say = (line: string) => void process.stdout.write(`${line}\n`);

const dir = mkdtempSync(join(tmpdir(), 'nightshift-bench-'));
// As root, Postgres runs as another user who has to get in.
chmodSync(dir, 0o755);
const [postgres, redis] = await Promise.all([
  startPostgres({ dir: join(dir, 'postgres') }),
  startRedis({ dir: join(dir, 'redis') }),
]);
try {
  process.exitCode = (await measure()) ? 0 : 1;
} finally {
  await Promise.all([redis.remove(), postgres.remove()]);
  rmSync(dir, { recursive: true, force: true });
}

/** Resolves to whether the target was met. */
async function measure(): Promise<boolean> {
  const password = randomBytes(24).toString('hex');
  const encryptionKeys = `bench:${randomBytes(32).toString('base64')}`;
  await migrate({ adminUrl: postgres.adminUrl, database: DATABASE, loginPassword: password });
  const adminUrl = databaseUrl(postgres.adminUrl, DATABASE);
  await seedDemo({ adminUrl, gyms: 1, members: 10, organisations: 1, organisationUsers: 500, encryptionKeys });
  const url = new URL(adminUrl);
  url.username = 'nightshift';
  url.password = password;
  const shared = {
    databaseUrl: url.href,
    redisUrl: redis.url,
    namespace: 'bench',
    catalogue: createCatalogue(jobs, templates),
    log: pino({ level: 'silent' }),
    encryptionKeys,
  };
  const producer = createProducer(shared);
  const worker = await startWorker({ ...shared, fireSchedules: false });
  await worker.consuming;
  const admin = new pg.Pool({ connectionString: adminUrl, max: 2 });
  try {
    return report(await runChecks(producer, admin));
  } finally {
    await admin.end();
    await worker.stop();
    await producer.close();
  }
}

interface Times {
  readonly inWorker: readonly number[];
  readonly endToEnd: readonly number[];
}

async function runChecks(producer: Producer, admin: pg.Pool): Promise<Times> {
  const tenant = demoOrganisationTenantId(1, 'harbour-health');
  const names = await admin.query<{ name: string }>(
    'SELECT name FROM medication.medications WHERE tenant_id = $1 ORDER BY id',
    [tenant],
  );
  const ids: string[] = [];
  const endToEnd: number[] = [];
  for (let n = 0; n < WARM_UP + CHECKS; n++) {
    const medications = Array.from(
      { length: MEDICATIONS },
      (_, i) => names.rows[(n * 7 + i * 5) % names.rows.length]?.name,
    );
    const input = { user_id: `P${String((n % 500) + 1).padStart(5, '0')}`, medications: [...new Set(medications)] };
    const startedAt = performance.now();
    const { id } = await producer.accept({ job: 'medication.interaction-check', tenant, input }, 'bench');
    await producer.waitFor([id], { timeoutMs: 30_000 });
    if (n < WARM_UP) continue;
    endToEnd.push(performance.now() - startedAt);
    ids.push(id);
  }
  const { rows } = await admin.query<{ ms: number; outcome: string }>(
    'SELECT duration_ms::int AS ms, outcome::text AS outcome FROM ops.runs WHERE id = ANY ($1::uuid[])',
    [ids],
  );
  const failed = rows.filter((row) => row.outcome !== 'completed').length;
  if (failed > 0 || rows.length !== ids.length) throw new Error(`${failed} of ${ids.length} checks did not complete`);
  return { inWorker: rows.map((row) => row.ms), endToEnd };
}

function report({ inWorker, endToEnd }: Times): boolean {
  const p99 = quantile(inWorker, 0.99);
  say(`${inWorker.length} checks of ${MEDICATIONS} medications and the user's own, one at a time`);
  say(
    `in the worker: p50 ${quantile(inWorker, 0.5)} ms, p99 ${p99} ms, longest ${Math.max(...inWorker)} ms (target: p99 below ${TARGET_P99_MS} ms; ${documented('medication.interaction-check')})`,
  );
  say(`accept to end: p50 ${quantile(endToEnd, 0.5).toFixed(1)} ms, p99 ${quantile(endToEnd, 0.99).toFixed(1)} ms`);
  return p99 < TARGET_P99_MS;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
