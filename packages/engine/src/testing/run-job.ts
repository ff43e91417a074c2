import type { AcceptRequest } from '../accept.ts';
import { findRun, type RunDetail } from '../query/index.ts';
import type { TestEngine } from './test-engine.ts';

/** Accepts a run, waits until it has ended, and answers with its record, its result opened. Errors: when it has not ended within `timeoutMs`. */
export async function runJob(engine: TestEngine, request: AcceptRequest, timeoutMs = 50_000): Promise<RunDetail> {
  const { id } = await engine.producer.accept(request, 'test');
  const ended = await engine.producer.waitFor([id], { timeoutMs });
  const run = await findRun(engine.producer.pools, id, null, engine.producer.crypto);
  if (!ended.has(id))
    throw new Error(`run of '${request.job}' has not ended: it is ${run.status}, attempt ${run.attempts}`);
  return run;
}
