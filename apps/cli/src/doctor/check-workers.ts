import { liveWorkers, type Producer, type WorkerView } from '@nightshift/engine/accept';
import { expect, type Finding, ok, problem } from './finding.ts';

const CANARY_MS = 15_000;

/** Are there workers for every job, and does a run get from accept to its end? Never rejects. */
export async function checkWorkers(producer: Producer, actor: string): Promise<Finding[]> {
  try {
    const workers = (await liveWorkers(producer.pools)).filter((worker) => !worker.stopping);
    const findings = [...workerFindings(producer, workers), await connectionFinding(producer, workers)];
    if (workers.length === 0) return findings;
    return [...findings, await canaryFinding(producer, actor)];
  } catch (error) {
    return [problem('workers', (error as Error).message, 'Mend what is named above first.')];
  }
}

export function workerFindings(producer: Pick<Producer, 'catalogue'>, workers: readonly WorkerView[]): Finding[] {
  if (workers.length === 0) {
    return [
      problem(
        'workers',
        'none is alive',
        'Nothing is executed until one runs: npm start, or node apps/worker/dist/main.js.',
      ),
    ];
  }
  const jobs = producer.catalogue.jobs;
  const canRun = (worker: WorkerView, job: { name: string; inputVersion: number }) =>
    ((worker.jobs as Record<string, number>)[job.name] ?? 0) >= job.inputVersion;
  const orphans = jobs.filter((job) => !workers.some((worker) => canRun(worker, job)));
  const queues = [...new Set(jobs.filter((job) => !orphans.includes(job)).map((job) => job.queue))].sort();
  return [
    ok('workers', `${workers.length} alive, serving ${queues.join(', ')}`),
    expect(
      orphans.length === 0,
      'workers jobs',
      orphans.length === 0
        ? `all ${jobs.length} jobs are known`
        : `no worker knows ${orphans.map((job) => job.name).join(', ')}`,
      'Those runs wait until a worker of this build starts: deploy the workers.',
    ),
  ];
}

/** Of one API with its default pools. */
const API_CONNECTIONS = 40;
/** What a worker opens beside two connections a slot. */
const LOOP_CONNECTIONS = 8;

async function connectionFinding(producer: Producer, workers: readonly WorkerView[]): Promise<Finding> {
  const { rows } = await producer.pools.ops.query<{ most: number }>(
    `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most`,
  );
  const most = rows[0]?.most ?? 0;
  const wanted = workers.reduce((sum, worker) => sum + mayOpen(worker), API_CONNECTIONS);
  return expect(
    wanted <= most,
    'workers pools',
    `${workers.length} workers and one API may open ${wanted} of ${most} connections`,
    'Raise max_connections of Postgres, or lower the slots of the workers.',
  );
}

function mayOpen(worker: WorkerView): number {
  const slots = Object.values(worker.slots as Record<string, number>).reduce((sum, count) => sum + count, 0);
  return 2 * slots + LOOP_CONNECTIONS;
}

async function canaryFinding(producer: Producer, actor: string): Promise<Finding> {
  const startedAt = performance.now();
  const accepted = await producer.accept({ job: 'ops.canary', tenant: null, input: { echo: 'doctor' } }, actor);
  const acceptedMs = performance.now() - startedAt;
  const ended = await producer.waitFor([accepted.id], { timeoutMs: CANARY_MS });
  const totalMs = performance.now() - startedAt;
  const status = ended.get(accepted.id);
  if (status === undefined) {
    return problem(
      'canary',
      `not ended after ${CANARY_MS / 1000} s (run ${accepted.id})`,
      'Look at the workers’ log: they are alive and do not take work.',
    );
  }
  return expect(
    status === 'completed',
    'canary',
    `${status} in ${Math.round(totalMs)} ms (accepted in ${Math.round(acceptedMs)} ms)`,
    `nightshift runs show ${accepted.id} tells why.`,
  );
}
