import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Caller } from './caller.ts';

/** What the client was told, kept by the client: the only witness of what was accepted. */
export interface Ledger {
  /** Idempotency key → id of the run that was acknowledged for it. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Requests that got no 2xx and were sent again. */
  unanswered(): number;
  /** Sends until it is acknowledged, each time with the same key. Errors: for an answer that is neither 2xx nor 503, or after a minute. */
  start(job: string, body: StartBody, key?: string): Promise<string>;
}

export interface StartBody {
  readonly tenant?: string;
  readonly input?: object;
  readonly options?: object;
}

const AGAIN_AFTER_MS = 50;
const PATIENCE_MS = 60_000;

export function createLedger(caller: Caller): Ledger {
  const acknowledged = new Map<string, string>();
  let unanswered = 0;

  async function once(job: string, body: StartBody, key: string): Promise<string | null> {
    const path = `/v1/jobs/${job}/runs`;
    const headers = { 'idempotency-key': key };
    const answer = await caller.call(path, { method: 'POST', body, headers, timeoutMs: 10_000 }).catch(() => null);
    if (answer === null || answer.status === 503) return null;
    if (answer.status !== 202) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body.id as string;
  }

  return {
    acknowledged,
    unanswered: () => unanswered,
    async start(job, body, key = randomUUID()) {
      for (const end = Date.now() + PATIENCE_MS; Date.now() < end; unanswered += 1) {
        const id = await once(job, body, key);
        if (id !== null) {
          acknowledged.set(key, id);
          return id;
        }
        await wait(AGAIN_AFTER_MS);
      }
      throw new Error(`${job} was not accepted within ${PATIENCE_MS / 1_000} s`);
    },
  };
}
