import { hostname } from 'node:os';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import type { Environment } from './home.ts';

// Health check of a container: `node health.js api` or `node health.js worker`; exit code 0 is healthy.

const LIMIT_MS = 4_000;

/** Resolves to null when the process of this container is well, else to what is wrong. */
export async function healthProblem(role: string | undefined, env: Environment): Promise<string | null> {
  switch (role) {
    case 'api':
      return apiProblem(env.PORT || '3000');
    case 'worker':
      return workerProblem(env.DATABASE_URL ?? '');
    default:
      return `expected 'api' or 'worker', got '${role ?? ''}'`;
  }
}

async function apiProblem(port: string): Promise<string | null> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(LIMIT_MS) });
    return answer.ok ? null : `/readyz answered ${answer.status}`;
  } catch (error) {
    return `/readyz does not answer: ${(error as Error).message}`;
  }
}

/** A worker listens on no port: its heartbeat is the sign that its loops turn. */
async function workerProblem(databaseUrl: string): Promise<string | null> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: LIMIT_MS,
    query_timeout: LIMIT_MS,
    options: '-c role=ns_ops',
    application_name: 'nightshift-health',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query(
      `SELECT 1 FROM ops.workers WHERE host = $1 AND heartbeat_at > clock_timestamp() - interval '15 seconds'`,
      [hostname()],
    );
    return rowCount === 0 ? `no heartbeat of a worker on ${hostname()} in the last 15 s` : null;
  } catch (error) {
    // A restart of the worker would not bring Postgres back.
    return isServerAway(error) ? null : `the heartbeat cannot be read: ${(error as Error).message}`;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function isServerAway(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code);
  return ['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'ECONNRESET', 'EAI_AGAIN', '57P03'].includes(code);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const found = await healthProblem(process.argv[2], process.env);
  if (found !== null) process.stderr.write(`${found}\n`);
  process.exitCode = found === null ? 0 : 1;
}
