import { type Keyring, parseKeyring } from '@nightshift/db/crypto';
import { z } from 'zod';
import { BackupSettingsError } from './errors.ts';
import { listLocal, localStorage } from './storage/local.ts';
import type { Storage, StorageType, StoredFile } from './storage/storage.ts';

export interface S3Settings {
  /** Absent: Amazon's own. */
  readonly endpoint?: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Variables that say where backups go. Each description is the source of `.env.example`. */
export const backupEnvShape = {
  BACKUP_ROOT: z
    .string()
    .optional()
    .describe('Directory that backups of storage type local are written below; best on another disk than the database'),
  S3_ENDPOINT: z
    .string()
    // Compose passes variables that are not set as empty ones.
    .refine((value) => value === '' || /^https?:$/.test(URL.canParse(value) ? new URL(value).protocol : ''), {
      error: 'expected a URL like https://s3.example.org',
    })
    .optional()
    .describe('S3-compatible server for backups of storage type s3; not set: Amazon S3'),
  S3_REGION: z.string().default('us-east-1').describe('Region of the bucket'),
  S3_BUCKET: z.string().optional().describe('Bucket that backups of storage type s3 are written to'),
  S3_ACCESS_KEY_ID: z.string().optional().describe('Key that may put, get and list objects of the bucket'),
  S3_SECRET_ACCESS_KEY: z.string().optional().describe('Secret of S3_ACCESS_KEY_ID'),
};

const settingsSchema = z.object({ ...backupEnvShape, ENCRYPTION_KEYS: z.string().optional() });

/** Where backups are kept and what they are encrypted with. */
export interface BackupSettings {
  /** Errors: `BackupSettingsError` where ENCRYPTION_KEYS is not set, `KeyringError`. */
  keyring(): Keyring;
  /** Errors: `BackupSettingsError` naming what is not set, `StoragePathError`. */
  storage(type: StorageType, path: string): Promise<Storage>;
  /** Files of a kind of storage whose name ends so; none where it is not set up. */
  list(type: StorageType, suffix: string): Promise<StoredFile[]>;
  isSetUp(type: StorageType): boolean;
}

/** From the environment; the S3 client, a second of start-up, is loaded when it is needed. What is missing is told by whoever needs it. Errors: `BackupSettingsError` for values that cannot be. */
export function backupSettings(source: Readonly<Record<string, string | undefined>>): BackupSettings {
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success)
    throw new BackupSettingsError(
      parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    );
  const env = parsed.data;
  const root = () => {
    if (env.BACKUP_ROOT !== undefined) return env.BACKUP_ROOT;
    throw new BackupSettingsError('BACKUP_ROOT is not set: it names the directory that local backups go below.');
  };
  return {
    keyring() {
      if (env.ENCRYPTION_KEYS !== undefined) return parseKeyring(env.ENCRYPTION_KEYS);
      throw new BackupSettingsError('ENCRYPTION_KEYS is not set: every backup is encrypted.');
    },
    async storage(type, path) {
      switch (type) {
        case 'local':
          return localStorage(root(), path);
        case 's3': {
          const settings = s3Settings(env);
          const { s3Client, s3Storage } = await import('./storage/s3.ts');
          return s3Storage(s3Client(settings), settings, path);
        }
        default:
          return type satisfies never;
      }
    },
    async list(type, suffix) {
      switch (type) {
        case 'local':
          return listLocal(root(), suffix);
        case 's3': {
          const settings = s3Settings(env);
          const { listS3, s3Client } = await import('./storage/s3.ts');
          return listS3(s3Client(settings), settings, suffix);
        }
        default:
          return type satisfies never;
      }
    },
    isSetUp: (type) => (type === 'local' ? env.BACKUP_ROOT !== undefined : env.S3_BUCKET !== undefined),
  };
}

function s3Settings(env: z.output<typeof settingsSchema>): S3Settings {
  const { S3_BUCKET: bucket, S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (bucket === undefined || accessKeyId === undefined || secretAccessKey === undefined) {
    const missing = (['S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] as const).filter((name) => !env[name]);
    throw new BackupSettingsError(`${missing.join(', ')} not set: backups of storage type s3 need them.`);
  }
  return {
    region: env.S3_REGION,
    bucket,
    accessKeyId,
    secretAccessKey,
    ...(env.S3_ENDPOINT === undefined ? {} : { endpoint: env.S3_ENDPOINT }),
  };
}
