import {
  type BackupSettings,
  backupSettings,
  type Manifest,
  NoBaseError,
  rowsOf,
  writeBackup,
} from '@nightshift/backup';
import { type DefinedJob, defineJob, type TaskContext } from '@nightshift/engine';
import type { z } from 'zod';
import { backupInput } from './inputs.ts';

type BackupInput = z.output<typeof backupInput>;

interface BackupResult {
  readonly backup_id: string;
  readonly backup_type: string;
  readonly storage: { readonly type: string; readonly path: string };
  /** The backup that this one continues. */
  readonly base: string | null;
  readonly taken_at: string;
  readonly tables: number;
  /** In the tables as they were, not only in this file. */
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  /** ms */
  readonly duration: number;
  readonly errors: readonly never[];
}

/** `settings` is asked at each run, so that a process without a place for backups runs everything else. */
export function backupJob(settings: () => BackupSettings) {
  return defineJob({
    kind: 'task',
    name: 'medication.backup',
    title: 'Backup',
    description:
      'Saves the whole database, what changed since the last backup, or one organisation: encrypted, with a manifest.',
    scope: 'system',
    ofOneTenant: (input: BackupInput) => input.backup_type === 'tenant',
    access: 'admin',
    priority: 'LOW',
    schedule: { cron: '0 1 * * *', zone: 'UTC' },
    typicalMs: 30_000,
    maxMs: 600_000,
    outsideEffects: true,
    snapshots: true,
    input: backupInput,
    async run(ctx, input): Promise<BackupResult> {
      const { backup_type: type, storage_config } = input;
      // Organisations have a place of their own: none sees in a listing, or fills, what is another's.
      const path =
        type === 'tenant'
          ? ['tenants', ctx.tenant.id, storage_config.path].filter(Boolean).join('/')
          : storage_config.path;
      const place = { type: storage_config.type, path };
      const keep = settings();
      const keyring = keep.keyring();
      const storage = await keep.storage(place.type, place.path);
      const baseId = type === 'incremental' ? await lastBackup(ctx, place) : null;
      const startedAt = performance.now();
      const manifest = await ctx.snapshot(
        (snapshot) =>
        writeBackup({
          type, baseId, snapshot, storage, keyring,
          tenant: type === 'tenant' ? { id: ctx.tenant.id, system: 'medication', slug: ctx.tenant.slug } : null,
          attempt: ctx.runId,
          signal: ctx.signal,
          onTable: ({ name, rows }) => ctx.log.debug({ table: name, rows }, 'table saved'),
        }), // biome-ignore format: names alone
      );
      await register(ctx, manifest, place);
      return resultOf(manifest, place, Math.round(performance.now() - startedAt));
    },
  });
}

export const backup: DefinedJob = backupJob(() => backupSettings(process.env));

interface Place {
  readonly type: string;
  readonly path: string;
}

/** Id of the newest full or incremental backup in this place; without one there is nothing to continue. */
async function lastBackup(ctx: TaskContext, place: Place): Promise<string> {
  const { rows } = await ctx.transaction(({ client }) =>
    client.query<{ id: string }>(
      `SELECT id FROM medication.backups WHERE tenant_id = $1 AND backup_type <> 'tenant' AND storage_type = $2 AND storage_path = $3
       ORDER BY taken_at DESC LIMIT 1`,
      [ctx.tenant.id, place.type, place.path],
    ),
  );
  const [last] = rows;
  if (last === undefined) throw new NoBaseError(`there is none yet in ${place.type} storage at '${place.path}'`);
  return last.id;
}

/** Commits only while this worker holds the run; a backup without a row is whole all the same, and listed by its manifest. */
async function register(ctx: TaskContext, manifest: Manifest, place: Place): Promise<void> {
  await ctx.transaction(({ client }) =>
    client.query(
      `INSERT INTO medication.backups (tenant_id, id, run_id, backup_type, storage_type, storage_path, base_id, schema_version, taken_at, finished_at,
         tables, rows, bytes, sha256, key_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
      [
        ctx.tenant.id, manifest.id, ctx.runId, manifest.type, place.type, place.path, manifest.base, manifest.schema, manifest.takenAt,
        manifest.finishedAt, manifest.tables.length, rowsOf(manifest), manifest.data.bytes, manifest.data.sha256, manifest.key.id,
      ], // biome-ignore format: one value a column
    ),
  );
}

function resultOf(manifest: Manifest, storage: Place, duration: number): BackupResult {
  return {
    backup_id: manifest.id,
    backup_type: manifest.type,
    storage: { ...storage },
    base: manifest.base,
    taken_at: manifest.takenAt,
    tables: manifest.tables.length,
    rows: rowsOf(manifest),
    bytes: manifest.data.bytes,
    sha256: manifest.data.sha256,
    duration,
    errors: [],
  };
}
