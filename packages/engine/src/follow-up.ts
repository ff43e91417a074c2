import { createHash } from 'node:crypto';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { LongRun } from './claim.ts';
import { sealRun } from './crypto/sealed-input.ts';
import type { DefinedJob, FollowUpRequest, SqlClient } from './define-job.ts';
import { newRun } from './new-run.ts';

// Same job, trigger, date, priority and options as the run that asks. Its unique key names that run and the request, so that a batch that is
// done again (halved, or by another worker) asks for the same run and not for a second one.
const INSERT = `
WITH made AS (
  INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, unique_key, trigger_id, tick_date, stale_inputs, actor, options, input)
  SELECT $2, $3, p.job, $4, p.queue, p.priority, 'queued', $5, p.trigger_id, p.tick_date, p.stale_inputs, $7,
    p.options - 'shard', $6::jsonb
  FROM ops.open_runs p WHERE p.id = $1
  ON CONFLICT (tenant_id, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
  RETURNING id, tenant_id, job, actor, accepted_at
)
INSERT INTO ops.audit_log (at, tenant_id, actor, action, run_id, details)
SELECT accepted_at, tenant_id, actor, 'run.accepted', id, jsonb_build_object('job', job) FROM made`;

/**
 * Inserts another run of the job in the transaction in hand, for what this run leaves over. A dry run asks for none.
 * Errors: `InvalidInputError`, and for personal input those of the crypto.
 */
export async function insertFollowUp(
  client: SqlClient,
  crypto: FieldCrypto,
  job: DefinedJob,
  run: Pick<LongRun, 'id' | 'tenantId' | 'options'>,
  request: FollowUpRequest,
): Promise<void> {
  const tenantId = request.tenantId ?? run.tenantId;
  const wanted = newRun({ job, tenantId, input: request.input, options: run.options, actor: `run:${run.id}` });
  if (run.options.dryRun) return;
  const key = createHash('sha256').update(`${tenantId} ${wanted.input}`).digest('base64url').slice(0, 16);
  const sealed = await sealRun(crypto, wanted);
  const uniqueKey = `${job.name} after ${run.id} ${key}`;
  await client.query(INSERT, [run.id, sealed.id, tenantId, job.inputVersion, uniqueKey, sealed.input, sealed.actor]);
}
