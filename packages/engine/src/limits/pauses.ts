import { inTransaction, isUuid, type Pool, type PoolClient } from '@nightshift/db';
import type { Catalogue } from '../catalogue.ts';
import { nearest } from '../check-declaration.ts';
import { queuesOfJob } from '../define-job.ts';
import { UnknownQueueError, UnknownTenantError } from '../errors.ts';
import { giveBack } from '../give-back.ts';
import { storeErrors } from '../store-errors.ts';
import { PASS_LOCK } from './pass-lock.ts';

/** What can be paused. */
export const PAUSE_KINDS = ['queue', 'job', 'tenant'] as const;
export type PauseKind = (typeof PAUSE_KINDS)[number];

/** Something that starts no runs until it is resumed. */
export interface PauseView {
  readonly kind: PauseKind;
  /** Name of the queue or job; id of the tenant. */
  readonly key: string;
  readonly by: string;
  readonly reason: string | null;
  readonly at: Date;
}

export interface Pauses {
  /**
   * Nothing of it starts any more: once this resolves, runs that waited in Redis wait in Postgres again, and what is being executed goes on.
   * Paused already: the first pause stands, with its actor and reason.
   * Errors: `UnknownQueueError`, `UnknownJobError`, `UnknownTenantError`.
   */
  pause(kind: PauseKind, key: string, actor: string, reason?: string): Promise<PauseView>;
  /** Resolves to false when it was not paused. Errors: as `pause`. */
  resume(kind: PauseKind, key: string, actor: string): Promise<boolean>;
}

const COLUMNS = 'kind, key, paused_by AS by, reason, at';

/** Everything that is paused, the oldest first. */
export const LIST_PAUSES = `SELECT ${COLUMNS} FROM ops.pauses ORDER BY at, kind, key`;

export function createPauses(deps: {
  ops: Pool;
  catalogue: Catalogue;
  wake: (queues: Iterable<string>) => void;
}): Pauses {
  const names = deps.catalogue.queues.map((queue) => queue.name);

  /** Queues that runs of it may be in. Errors: there is no such thing. */
  async function queuesOf(client: PoolClient, kind: PauseKind, key: string): Promise<readonly string[]> {
    switch (kind) {
      case 'queue':
        if (!names.includes(key)) throw new UnknownQueueError(key, nearest(key, names));
        return [key];
      case 'job':
        return queuesOfJob(deps.catalogue.get(key));
      case 'tenant': {
        const found = isUuid(key) ? await client.query('SELECT 1 FROM ops.tenants WHERE id = $1', [key]) : null;
        if (!found?.rowCount) throw new UnknownTenantError(key, 'any');
        return names;
      }
      default:
        return kind satisfies never;
    }
  }

  return {
    pause: (kind, key, actor, reason) =>
      storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          // No pass is under way while this commits: the next one reads the pause.
          for (const queue of [...(await queuesOf(client, kind, key))].sort())
            await client.query(`SELECT pg_advisory_xact_lock(${PASS_LOCK}, hashtext($1))`, [queue]);
          const made = await client.query<PauseView>(
            `INSERT INTO ops.pauses (kind, key, paused_by, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
            [kind, key, actor, reason ?? null],
          );
          const [pause] = made.rows;
          if (pause === undefined) return existing(client, kind, key);
          const back = await giveBack(client, kind, [key]);
          const takenBack = [...back.values()].reduce((sum, n) => sum + n, 0);
          await audit(client, kind, key, actor, 'paused', { reason: reason ?? null, takenBack });
          return pause;
        }),
      ),

    async resume(kind, key, actor) {
      const queues = await storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          const found = await queuesOf(client, kind, key);
          const { rowCount } = await client.query('DELETE FROM ops.pauses WHERE kind = $1 AND key = $2', [kind, key]);
          if (!rowCount) return null;
          await audit(client, kind, key, actor, 'resumed', {});
          return found;
        }),
      );
      if (queues !== null) deps.wake(queues);
      return queues !== null;
    },
  };
}

async function existing(client: PoolClient, kind: PauseKind, key: string): Promise<PauseView> {
  const { rows } = await client.query<PauseView>(`SELECT ${COLUMNS} FROM ops.pauses WHERE kind = $1 AND key = $2`, [
    kind,
    key,
  ]);
  const [pause] = rows;
  if (pause === undefined) throw new Error(`the pause of ${kind} '${key}' went while it was read`);
  return pause;
}

async function audit(
  client: PoolClient,
  kind: PauseKind,
  key: string,
  actor: string,
  done: 'paused' | 'resumed',
  details: object,
): Promise<void> {
  await client.query('INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, $3, $4)', [
    kind === 'tenant' ? key : null,
    actor,
    `${kind}.${done}`,
    JSON.stringify({ [kind]: key, ...details }),
  ]);
}
