import { backupEnvShape } from '@nightshift/backup';
import { encryptionKeysVariable } from '@nightshift/engine/crypto';
import { z } from 'zod';

/** What the command line and `npm start` read beside the variables of the API and the workers. */
export const cliEnvSchema = z.object({
  NIGHTSHIFT_HOME: z
    .string()
    .default('.nightshift')
    .describe('State of the embedded services; two homes run side by side on one machine'),
  ADMIN_DATABASE_URL: z
    .string()
    .optional()
    .describe(
      'Postgres as a role that may make roles and databases: for migrate and seed, never for the API or a worker',
    ),
  NIGHTSHIFT_DEMO: z
    .enum(['normal', 'small'])
    .default('normal')
    .describe('How much demo data `npm start` makes: `small` is a few dozen rows a table, for a slow machine'),
  ENCRYPTION_KEYS: encryptionKeysVariable,
  ...backupEnvShape,
});

/** Variables that docker-compose.yml alone reads. */
export const composeEnvSchema = z.object({
  POSTGRES_PASSWORD: z
    .string()
    .describe('Password of the administrator of the Postgres container; openssl rand -hex 24'),
  DATABASE_PASSWORD: z.string().describe('Password of the login role nightshift; openssl rand -hex 24'),
  REDIS_PASSWORD: z.string().describe('Password of the Redis container; openssl rand -hex 24'),
});
