import { bigint, integer, pgSchema, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core';

/** The registry of backups; migrations/0013_backups.sql is what runs. */
export const backups = pgSchema('medication').table(
  'backups',
  {
    tenantId: uuid('tenant_id').notNull(),
    id: text('id').notNull(),
    runId: uuid('run_id').notNull(),
    backupType: text('backup_type', { enum: ['full', 'incremental', 'tenant'] }).notNull(),
    storageType: text('storage_type', { enum: ['local', 's3'] }).notNull(),
    storagePath: text('storage_path').notNull(),
    baseId: text('base_id'),
    schemaVersion: text('schema_version').notNull(),
    takenAt: timestamp('taken_at', { withTimezone: true }).notNull(),
    finishedAt: timestamp('finished_at', { withTimezone: true }).notNull(),
    tables: integer('tables').notNull(),
    rows: bigint('rows', { mode: 'number' }).notNull(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    sha256: text('sha256').notNull(),
    keyId: text('key_id').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.id] })],
);
