import type { Readable } from 'node:stream';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  NoSuchKey,
  NotFound,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { StoragePathError } from '../errors.ts';
import type { S3Settings } from '../settings.ts';
import { MissingFileError, type Storage, type StoredFile } from './storage.ts';
import { storagePathProblem } from './storage-path.ts';

/** S3 takes 10,000 parts of an object at most; some are left for what a backup outgrows the database by. */
const PARTS = 8_000;
const LEAST_PART_BYTES = 8 * 1024 * 1024;
/** Parts on the way at once, each in memory. */
const PARTS_AT_ONCE = 2;

export function s3Client(settings: S3Settings): S3Client {
  return new S3Client({
    region: settings.region,
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint, forcePathStyle: true }),
    credentials: { accessKeyId: settings.accessKeyId, secretAccessKey: settings.secretAccessKey },
    // Checksums beyond what S3 asks for are refused by many compatible servers; ours stand in the manifest.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

/** A prefix of the bucket. An object appears when its upload is complete, and not before. */
export function s3Storage(client: S3Client, settings: S3Settings, path: string): Storage {
  const problem = storagePathProblem(path);
  if (problem !== null) throw new StoragePathError(path, problem);
  const { bucket } = settings;
  const keyOf = (name: string) => (path === '' ? name : `${path}/${name}`);
  const get = async (name: string) => {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: keyOf(name) }));
      if (Body === undefined) throw new MissingFileError(keyOf(name));
      return Body;
    } catch (error) {
      if (error instanceof NoSuchKey) throw new MissingFileError(keyOf(name));
      throw error;
    }
  };
  return {
    type: 's3',
    where: `s3://${bucket}/${path}`,
    async write(name, content, { signal, expectedBytes }) {
      const upload = new Upload({
        client,
        params: { Bucket: bucket, Key: keyOf(name), Body: content },
        partSize: Math.max(LEAST_PART_BYTES, Math.ceil(expectedBytes / PARTS)),
        queueSize: PARTS_AT_ONCE,
        leavePartsOnError: false,
      });
      const abort = () => void upload.abort();
      signal.addEventListener('abort', abort, { once: true });
      let broken: Error | undefined;
      content.once('error', (error: Error) => {
        broken = error;
      });
      try {
        signal.throwIfAborted();
        await upload.done();
      } catch (error) {
        // Aborting the upload may fail as well, and would hide the reason.
        throw signal.aborted ? signal.reason : (broken ?? error);
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
    read: async (name) => (await get(name)) as Readable,
    readText: async (name) => (await get(name)).transformToString('utf8'),
    async sizeOf(name) {
      try {
        const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: keyOf(name) }));
        return ContentLength ?? 0;
      } catch (error) {
        // An answer to HEAD has no body that would name the key.
        if (error instanceof NotFound || error instanceof NoSuchKey) throw new MissingFileError(keyOf(name));
        throw error;
      }
    },
  };
}

/** Objects of the bucket whose key ends so, by key. */
export async function listS3(client: S3Client, settings: S3Settings, suffix: string): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: settings.bucket,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    );
    for (const { Key = '' } of page.Contents ?? []) {
      if (!Key.endsWith(suffix)) continue;
      const slash = Key.lastIndexOf('/');
      const path = slash === -1 ? '' : Key.slice(0, slash);
      // No backup of ours is where none could be put.
      if (storagePathProblem(path) === null) found.push({ path, name: Key.slice(slash + 1) });
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return found;
}
