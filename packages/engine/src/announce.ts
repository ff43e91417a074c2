import type { Pool } from '@nightshift/db';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { connectConsumer } from './redis-connect.ts';
import { endedChannel } from './redis-names.ts';
import { isEnded, type RunStatus } from './run-status.ts';

/** Ids in one message at most: a longer one would hold up everybody else's. */
const IDS_A_MESSAGE = 500;
/** Postgres is asked this often for runs that somebody waits for: a message may be lost, a row is not. */
const LOOK_EVERY_MS = 1_000;

/**
 * Publishes ends, best effort: who waits looks in Postgres as well. While nobody listens an empty message asks whether somebody does by now:
 * writing out the ids of every bundle is a twentieth of what a worker does.
 */
export function createAnnouncer(redis: Redis, namespace: string) {
  const channel = endedChannel(namespace);
  let heard = true;
  const publish = (message: string) =>
    redis.publish(channel, message).then(
      (listeners) => {
        heard = listeners > 0;
      },
      () => undefined,
    );
  const tell = (ended: readonly (readonly [string, RunStatus])[]) => {
    for (let i = 0; i < ended.length; i += IDS_A_MESSAGE)
      void publish(JSON.stringify(ended.slice(i, i + IDS_A_MESSAGE)));
  };
  return (ended: readonly (readonly [string, RunStatus])[]): void => {
    if (redis.status !== 'ready' || ended.length === 0) return;
    if (heard) tell(ended);
    else void publish('[]').then(() => heard && tell(ended));
  };
}

interface Waiter {
  readonly left: Set<string>;
  readonly ended: Map<string, RunStatus>;
  readonly done: () => void;
}

/** Waits for runs to end: told by Redis, and by a look in Postgres each second. */
export function createWaiters(deps: { ops: Pool; redisUrl: string; namespace: string; log: Logger }) {
  const byRun = new Map<string, Set<Waiter>>();
  let subscriber: Redis | null = null;
  let timer: NodeJS.Timeout | null = null;

  function tell(id: string, status: RunStatus): void {
    for (const waiter of byRun.get(id) ?? []) {
      waiter.ended.set(id, status);
      waiter.left.delete(id);
      if (waiter.left.size === 0) waiter.done();
    }
    byRun.delete(id);
  }

  function listen(): void {
    if (subscriber !== null) return;
    subscriber = connectConsumer(deps.redisUrl, deps.log);
    subscriber.subscribe(endedChannel(deps.namespace)).catch(() => undefined);
    subscriber.on('message', (_channel, message) => {
      for (const [id, status] of JSON.parse(message) as [string, RunStatus][]) tell(id, status);
    });
    timer = setInterval(() => look([...byRun.keys()]), LOOK_EVERY_MS);
    timer.unref();
  }

  async function look(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const { rows } = await deps.ops
      .query<{ id: string; outcome: RunStatus }>('SELECT id, outcome FROM ops.runs WHERE id = ANY ($1)', [ids])
      .catch((): { rows: { id: string; outcome: RunStatus }[] } => ({ rows: [] }));
    for (const row of rows) if (isEnded(row.outcome)) tell(row.id, row.outcome);
  }

  return {
    /** Resolves to id → how it ended, once all have ended or the time is up; those still open are absent. Never rejects. */
    async waitFor(
      runIds: readonly string[],
      options: { timeoutMs: number; signal?: AbortSignal | undefined },
    ): Promise<ReadonlyMap<string, RunStatus>> {
      const ended = new Map<string, RunStatus>();
      if (runIds.length === 0) return ended;
      listen();
      await new Promise<void>((resolve) => {
        const waiter: Waiter = { left: new Set(runIds), ended, done: finish };
        const timeout = setTimeout(finish, options.timeoutMs);
        function finish(): void {
          clearTimeout(timeout);
          options.signal?.removeEventListener('abort', finish);
          for (const id of waiter.left) {
            const others = byRun.get(id);
            others?.delete(waiter);
            if (others?.size === 0) byRun.delete(id);
          }
          resolve();
        }
        options.signal?.addEventListener('abort', finish);
        for (const id of waiter.left) byRun.set(id, (byRun.get(id) ?? new Set()).add(waiter));
        if (options.signal?.aborted) finish();
        else void look(runIds);
      });
      return ended;
    },
    close(): void {
      if (timer !== null) clearInterval(timer);
      subscriber?.disconnect();
    },
  };
}
