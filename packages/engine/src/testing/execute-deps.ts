import type { Pool } from '@nightshift/db';
import { pino } from 'pino';
import { createCatalogue } from '../catalogue.ts';
import { processCrypto } from '../crypto/job-crypto.ts';
import type { DefinedJob } from '../define-job.ts';
import type { ExecuteDeps } from '../execute/execution.ts';
import { createTenants } from '../tenants.ts';
import { TEST_ENCRYPTION_KEYS, type TestEngine } from './test-engine.ts';

/** What executing needs of a process, for a test that hands out dispatches itself; nobody is told of anything. */
export function executeDeps(
  engine: TestEngine,
  { app, ops }: { readonly app: Pool; readonly ops: Pool },
  jobs: readonly DefinedJob[],
): ExecuteDeps {
  return {
    app,
    ops,
    databaseUrl: engine.store.databaseUrl,
    catalogue: createCatalogue(jobs),
    tenants: createTenants(ops),
    crypto: processCrypto(TEST_ENCRYPTION_KEYS, ops),
    worker: 'test',
    log: pino({ level: 'silent' }),
    notified: () => undefined,
    announce: () => undefined,
    measured: () => undefined,
    failedTogether: () => undefined,
    wake: () => undefined,
    shutdown: new AbortController().signal,
  };
}
