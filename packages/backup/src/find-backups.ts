import { UnknownBackupError } from './errors.ts';
import { MANIFEST_SUFFIX, type Manifest, readManifest, rowsOf } from './manifest.ts';
import type { BackupSettings } from './settings.ts';
import { STORAGE_TYPES, type StorageType } from './storage/storage.ts';

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

/** Backups in a storage, the oldest first, as their manifests say; unsigned, so `verify` before you believe them. */
export async function listBackups(settings: BackupSettings, type: StorageType): Promise<ListedBackup[]> {
  const files = await settings.list(type, MANIFEST_SUFFIX);
  const found = await Promise.all(
    files.map(async ({ path, name }) => {
      const id = name.slice(0, -MANIFEST_SUFFIX.length);
      const storage = await settings.storage(type, path);
      const { manifest } = readManifest(await storage.readText(name), id);
      return listed(manifest, type, path);
    }),
  );
  return found.sort((a, b) => a.takenAt.localeCompare(b.takenAt));
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
