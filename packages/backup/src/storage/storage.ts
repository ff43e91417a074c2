import type { Readable } from 'node:stream';

export const STORAGE_TYPES = ['local', 's3'] as const;
export type StorageType = (typeof STORAGE_TYPES)[number];

/** One place that files are put into. A file is there whole or not at all. */
export interface Storage {
  readonly type: StorageType;
  /** For people: `backups/nightly`, `s3://bucket/nightly`. */
  readonly where: string;
  /** Resolves when the file is safe. `attempt` names what is unfinished, so that the next attempt of the same run removes it. */
  write(name: string, content: Readable, options: WriteOptions): Promise<void>;
  read(name: string): Promise<Readable>;
  /** Errors: `MissingFileError`. */
  readText(name: string): Promise<string>;
  /** Bytes. Errors: `MissingFileError`. */
  sizeOf(name: string): Promise<number>;
}

export interface WriteOptions {
  readonly attempt: string;
  readonly signal: AbortSignal;
  /** At most about so many bytes will come; object stores choose the size of their parts by it. */
  readonly expectedBytes: number;
}

/** Where a file was found, below the root. */
export interface StoredFile {
  readonly path: string;
  readonly name: string;
}

export class MissingFileError extends Error {
  override readonly name = 'MissingFileError';
}
