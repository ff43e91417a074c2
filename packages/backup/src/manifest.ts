import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { DamagedBackupError } from './errors.ts';
import { type FileKeys, sign } from './file-key.ts';
import { SECTION_KINDS } from './sections.ts';

export const BACKUP_TYPES = ['full', 'incremental', 'tenant'] as const;
export type BackupType = (typeof BACKUP_TYPES)[number];

export const DATA_SUFFIX = '.nsbackup';
export const MANIFEST_SUFFIX = '.manifest.json';

const hex64 = z.string().regex(/^[0-9a-f]{64}$/);

const tableSchema = z.strictObject({
  /** `schema.table` */
  name: z.string(),
  /** Columns in the sections, by name; generated ones are made anew. */
  columns: z.array(z.string()),
  /** Of the primary key; null: the table has none, and is brought whole each time. */
  key: z.array(z.string()).nullable(),
  /** Column that says whose row it is; null: rows of nobody. */
  tenantColumn: z.string().nullable(),
  /** Of the whole table at the time of the snapshot, generated columns included: what a restore is compared with. */
  rows: z.int(),
  hash: z.string(),
  /** Rows last changed before the snapshot's horizon: what the next incremental backup counts on. */
  settled: z.int(),
  sections: z.array(z.strictObject({ kind: z.enum(SECTION_KINDS), rows: z.int(), bytes: z.int(), sha256: hex64 })),
});
export type ManifestTable = z.output<typeof tableSchema>;

const contentSchema = z.strictObject({
  format: z.literal(1),
  id: z.string().regex(/^[0-9A-Za-z-]{10,80}$/),
  type: z.enum(BACKUP_TYPES),
  /** Whose rows alone; null: everybody's. */
  tenant: z.strictObject({ id: z.uuid(), system: z.string(), slug: z.string() }).nullable(),
  /** When the snapshot was taken, by the database's clock. */
  takenAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  /** Newest migration of the database. */
  schema: z.string(),
  snapshot: z.strictObject({
    /** System identifier of the cluster and oid of the database: transaction ids mean nothing elsewhere. */
    database: z.string(),
    lsn: z.string(),
    /** Every transaction below it was over; as text, xid8. */
    horizon: z.string().regex(/^\d+$/),
    next: z.string().regex(/^\d+$/),
  }),
  /** The backup that an incremental one continues. */
  base: z.string().nullable(),
  key: z.strictObject({ id: z.string(), wrapped: z.string() }),
  compression: z.literal('gzip'),
  data: z.strictObject({ file: z.string(), bytes: z.int(), sha256: hex64 }),
  tables: z.array(tableSchema),
  sequences: z.array(z.strictObject({ name: z.string(), value: z.string().regex(/^-?\d+$/), called: z.boolean() })),
  partitions: z.array(z.strictObject({ name: z.string(), parent: z.string(), bound: z.string() })),
});

/** What a backup holds and how to see that it still does. No personal data and no key that opens anything by itself. */
export type Manifest = z.output<typeof contentSchema>;

export function rowsOf(manifest: Manifest): number {
  return manifest.tables.reduce((sum, table) => sum + table.rows, 0);
}

/** The manifest as it is stored: its content, signed. */
export function signedManifest(manifest: Manifest, keys: FileKeys): string {
  // Parsed, so that its fields stand in the order of the schema, in which they are read again.
  const content = contentSchema.parse(manifest);
  return `${JSON.stringify({ mac: sign(keys, JSON.stringify(content)), content }, null, 1)}\n`;
}

const storedSchema = z.strictObject({ mac: hex64, content: contentSchema });

/** Errors: `DamagedBackupError`. Whether it is the one that was written only `checkSignature` tells. */
export function readManifest(text: string, id: string): { manifest: Manifest; mac: string } {
  try {
    const { content, mac } = storedSchema.parse(JSON.parse(text));
    if (content.id === id) return { manifest: content, mac };
  } catch (error) {
    throw new DamagedBackupError(id, 'its manifest cannot be read', { cause: error });
  }
  throw new DamagedBackupError(id, 'its manifest is that of another backup');
}

/** Errors: `DamagedBackupError`. */
export function checkSignature({ manifest, mac }: { manifest: Manifest; mac: string }, keys: FileKeys): void {
  const right = Buffer.from(sign(keys, JSON.stringify(manifest)), 'hex');
  if (!timingSafeEqual(right, Buffer.from(mac, 'hex')))
    throw new DamagedBackupError(manifest.id, 'its manifest was changed');
}
