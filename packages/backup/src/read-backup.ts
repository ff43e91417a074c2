import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Keyring } from '@nightshift/db/crypto';
import { createCounter } from './counter.ts';
import { DamagedBackupError, UnknownBackupError } from './errors.ts';
import { openFileKey } from './file-key.ts';
import { createOpener, FrameError } from './frames.ts';
import {
  checkSignature,
  MANIFEST_SUFFIX,
  type Manifest,
  type ManifestTable,
  readManifest,
  rowsOf,
} from './manifest.ts';
import { readSections, type Section, SectionError } from './sections.ts';
import { MissingFileError, type Storage } from './storage/storage.ts';

/** The manifest of a backup, its signature checked. Errors: `UnknownBackupError`, `DamagedBackupError`, `BackupKeyError`. */
export async function openManifest(storage: Storage, keyring: Keyring, id: string): Promise<Manifest> {
  const read = readManifest(await manifestText(storage, id), id);
  checkSignature(read, openFileKey(keyring, id, read.manifest.key));
  return read.manifest;
}

async function manifestText(storage: Storage, id: string): Promise<string> {
  try {
    return await storage.readText(`${id}${MANIFEST_SUFFIX}`);
  } catch (error) {
    if (error instanceof MissingFileError) throw new UnknownBackupError(id, storage.where);
    throw error;
  }
}

/** The full backup, then each incremental one up to this. Errors: as `openManifest`, for each. */
export async function openChain(storage: Storage, keyring: Keyring, id: string): Promise<Manifest[]> {
  const chain: Manifest[] = [];
  for (let next: string | null = id; next !== null; ) {
    const manifest: Manifest = await openManifest(storage, keyring, next);
    if (chain.some((one) => one.id === manifest.id)) throw new DamagedBackupError(id, 'its chain runs in a circle');
    chain.unshift(manifest);
    next = manifest.base;
  }
  return chain;
}

/**
 * Calls `onSection` with each section of a backup and sees that all of it is there and as it was written. What was read before an error
 * counts for nothing.
 * Errors: `DamagedBackupError`, `BackupKeyError`, and whatever `onSection` throws.
 */
export async function readBackup(
  source: { storage: Storage; keyring: Keyring; manifest: Manifest },
  onSection: (section: Section, table: ManifestTable) => Promise<void>,
): Promise<void> {
  const { storage, keyring, manifest } = source;
  const keys = openFileKey(keyring, manifest.id, manifest.key);
  const file = await openData(storage, manifest);
  const counted = createCounter();
  const plain = new PassThrough();
  const flow = pipeline(
    file,
    counted.through,
    createOpener(keys.frames, Buffer.from(manifest.id)),
    createGunzip(),
    plain,
  );
  try {
    const sections = expectedSections(manifest);
    for await (const section of readSections(plain)) {
      const expected = sections.next();
      if (
        expected.done ||
        expected.value.table.name !== section.head.table ||
        expected.value.kind !== section.head.kind
      )
        throw new SectionError(
          `section '${section.head.table} ${section.head.kind}' stands where the manifest has another`,
        );
      await onSection(section, expected.value.table);
    }
    if (!sections.next().done) throw new SectionError('it has fewer sections than its manifest');
    await flow;
  } catch (error) {
    plain.destroy();
    const reason = await flow.then(
      () => error,
      (cause: Error & { code?: string }) => (cause.code === 'ERR_STREAM_PREMATURE_CLOSE' ? error : cause),
    );
    throw isDamage(reason) ? new DamagedBackupError(manifest.id, (reason as Error).message, { cause: reason }) : reason;
  }
  const { bytes, sha256 } = counted.end();
  if (bytes !== manifest.data.bytes || sha256 !== manifest.data.sha256)
    throw new DamagedBackupError(manifest.id, 'its data is not that of its manifest');
}

function* expectedSections(manifest: Manifest): Generator<{ table: ManifestTable; kind: string }, undefined> {
  for (const table of manifest.tables) for (const { kind } of table.sections) yield { table, kind };
  return undefined;
}

async function openData(storage: Storage, manifest: Manifest): Promise<Readable> {
  try {
    return await storage.read(manifest.data.file);
  } catch (error) {
    if (error instanceof MissingFileError)
      throw new DamagedBackupError(manifest.id, `its data file ${manifest.data.file} is missing`);
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof FrameError || error instanceof SectionError) return true;
  return /^Z_/.test(String((error as { code?: unknown }).code));
}

export interface Verified {
  readonly id: string;
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Reads a backup and all that it stands on, from the first byte to the last. Errors: `UnknownBackupError`, `DamagedBackupError`,
 * `BackupKeyError`.
 */
export async function verifyBackup(storage: Storage, keyring: Keyring, id: string): Promise<Verified[]> {
  const verified: Verified[] = [];
  for (const manifest of await openChain(storage, keyring, id)) {
    await readBackup({ storage, keyring, manifest }, async ({ rows }) => {
      for await (const _ of rows);
    });
    verified.push({
      id: manifest.id,
      tables: manifest.tables.length,
      rows: rowsOf(manifest),
      bytes: manifest.data.bytes,
    });
  }
  return verified;
}
