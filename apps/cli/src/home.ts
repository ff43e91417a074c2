import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Root of the repository, from `src` and from `dist` alike. */
export const REPOSITORY_ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Where the embedded services keep their state. */
export function homeDirectory(env: Environment): string {
  return env.NIGHTSHIFT_HOME ? resolve(env.NIGHTSHIFT_HOME) : join(REPOSITORY_ROOT, '.nightshift');
}

const devFileSchema = z.looseObject({
  apiUrl: z.string(),
  databaseUrl: z.string(),
  adminDatabaseUrl: z.string(),
  redisUrl: z.string(),
  jwtSecret: z.string(),
});
export type DevFile = z.infer<typeof devFileSchema>;

/** `<home>/dev.json`: what a running `npm start` tells others; null when nothing runs in this home. */
export function readDevFile(home: string): DevFile | null {
  const path = join(home, 'dev.json');
  if (!existsSync(path)) return null;
  const parsed = devFileSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  return parsed.success ? parsed.data : null;
}

const storedSecretsSchema = z.looseObject({ jwtSecret: z.string().optional(), encryptionKeys: z.string().optional() });

/** Secrets of development, kept in the home between starts. */
function storedSecrets(home: string): z.infer<typeof storedSecretsSchema> {
  const path = join(home, 'secrets.json');
  if (!existsSync(path)) return {};
  return storedSecretsSchema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data ?? {};
}

/** Secret that signs development tokens. */
export function storedJwtSecret(home: string): string | null {
  return storedSecrets(home).jwtSecret ?? null;
}

/** From `ENCRYPTION_KEYS`, else what `npm start` made for its own database. */
export function encryptionKeys(env: Environment): string | undefined {
  if (env.ENCRYPTION_KEYS) return env.ENCRYPTION_KEYS;
  return env.DATABASE_URL ? undefined : storedSecrets(homeDirectory(env)).encryptionKeys;
}
