import { expect, test } from 'vitest';
import { readEnv } from './env.ts';

const production = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://nightshift:x@127.0.0.1/nightshift',
  REDIS_URL: 'redis://127.0.0.1',
  ENCRYPTION_KEYS: `k1:${'Zk3v'.repeat(10)}Zk0=`,
  BACKUP_ROOT: '/backups',
};

test('production needs a place for backups, whichever, and says so with everything else', () => {
  expect(readEnv(production)).toMatchObject({ BACKUP_ROOT: '/backups', S3_REGION: 'us-east-1' });
  expect(readEnv({ ...production, BACKUP_ROOT: '', S3_BUCKET: 'backups' })).toMatchObject({ S3_BUCKET: 'backups' });
  expect(() => readEnv({ ...production, BACKUP_ROOT: '', ENCRYPTION_KEYS: '' })).toThrow(
    /ENCRYPTION_KEYS[\s\S]*BACKUP_ROOT/,
  );
  expect(readEnv({ ...production, NODE_ENV: 'development', BACKUP_ROOT: '' }).BACKUP_ROOT).toBeUndefined();
});

test('an address that is none is named', () => {
  expect(() => readEnv({ ...production, S3_ENDPOINT: 'minio:9000' })).toThrow(/S3_ENDPOINT/);
});
