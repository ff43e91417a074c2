import { DamagedBackupError, UnknownBackupError } from './errors.ts';
import { MANIFEST_SUFFIX, type Manifest, readManifest, rowsOf } from './manifest.ts';
import type { BackupSettings } from './settings.ts';
import { STORAGE_TYPES, type StorageType, type StoredFile } from './storage/storage.ts';

export interface ListedBackup {
  readonly id: string;
  readonly storage: StorageType;
  readonly path: string;
  readonly type: Manifest['type'];
  /** Slug; null: everybody's. */
  readonly tenant: string | null;
  readonly takenAt: string;
  readonly base: string | null;
  readonly rows: number;
  readonly bytes: number;
  readonly schema: string;
  readonly keyId: string;
}

/** Manifests that are read at once: each is an open file or a request. */
const READ_AT_ONCE = 32;

/**
 * Backups in a storage, the oldest first, as their manifests say; unsigned, so `verify` before you believe them. One whose manifest cannot be
 * read is told to `onDamaged`, and hides none of the others.
 */
export async function listBackups(
  settings: BackupSettings,
  type: StorageType,
  onDamaged: (error: DamagedBackupError) => void = (error) => {
    throw error;
  },
): Promise<ListedBackup[]> {
  const files = await settings.list(type, MANIFEST_SUFFIX);
  const found: ListedBackup[] = [];
  for (let from = 0; from < files.length; from += READ_AT_ONCE) {
    const some = files.slice(from, from + READ_AT_ONCE).map((file) => readListed(settings, type, file));
    for (const read of await Promise.allSettled(some)) {
      if (read.status === 'fulfilled') found.push(read.value);
      else if (read.reason instanceof DamagedBackupError) onDamaged(read.reason);
      else throw read.reason;
    }
  }
  return found.sort((a, b) => a.takenAt.localeCompare(b.takenAt));
}

async function readListed(
  settings: BackupSettings,
  type: StorageType,
  { path, name }: StoredFile,
): Promise<ListedBackup> {
  const storage = await settings.storage(type, path);
  const { manifest } = readManifest(await storage.readText(name), name.slice(0, -MANIFEST_SUFFIX.length));
  return listed(manifest, type, path);
}

function listed(manifest: Manifest, storage: StorageType, path: string): ListedBackup {
  const { id, type, tenant, takenAt, base, data, schema, key } = manifest;
  const rows = rowsOf(manifest);
  return {
    id,
    storage,
    path,
    type,
    tenant: tenant?.slug ?? null,
    takenAt,
    base,
    rows,
    bytes: data.bytes,
    schema,
    keyId: key.id,
  };
}

/** Where the backup of this id is. Errors: `UnknownBackupError`. */
export async function findBackup(
  settings: BackupSettings,
  id: string,
  types: readonly StorageType[] = STORAGE_TYPES,
): Promise<{ type: StorageType; path: string }> {
  for (const type of types) {
    if (!settings.isSetUp(type)) continue;
    const file = (await settings.list(type, MANIFEST_SUFFIX)).find(({ name }) => name === `${id}${MANIFEST_SUFFIX}`);
    if (file !== undefined) return { type, path: file.path };
  }
  throw new UnknownBackupError(id, types.join(' or '));
}
