import { encryptionKeysVariable } from '@nightshift/engine/crypto';
import { z } from 'zod';

const flag = z.enum(['on', 'off']).transform((value) => value === 'on');

/** Variables of a worker. Each description says what it is for; `.env.example` is generated from them. */
export const workerEnvSchema = z.object({
  NODE_ENV: z
    .enum(['development', 'test', 'production'])
    .default('development')
    .describe('`production` refuses unsafe settings'),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).describe('Postgres, as the login role `nightshift`'),
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).describe('Redis with AOF and `maxmemory-policy noeviction`'),
  NIGHTSHIFT_NS: z
    .string()
    .regex(/^[a-z0-9_-]{1,32}$/)
    .default('ns')
    .describe('What every name in Redis begins with'),
  ENCRYPTION_KEYS: encryptionKeysVariable,
  NIGHTSHIFT_CLOCK: flag.prefault('on').describe('`off`: schedules do not fire in this worker; runs and retries go on'),
  NIGHTSHIFT_SLOTS_SHORT: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(8)
    .describe('Bundles of request jobs in hand at once, per queue'),
  NIGHTSHIFT_SLOTS_LONG: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Sweeps and tasks in hand at once, per queue'),
  NIGHTSHIFT_CANARY_SECONDS: z.coerce
    .number()
    .int()
    .min(0)
    .max(3600)
    .default(60)
    .describe('Seconds between two signs of life asked of each queue; 0: none'),
  RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(3650)
    .default(30)
    .describe('Days that inputs and results are kept'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least level that is logged'),
});

export type WorkerEnv = z.output<typeof workerEnvSchema>;

/** Errors: one that lists every variable that is missing or wrong. */
export function readEnv(source: NodeJS.ProcessEnv): WorkerEnv {
  // An empty variable counts as not set.
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ''));
  const parsed = workerEnvSchema.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `  - ${issue.path.join('.')}: ${issue.message}`);
  if (source.NODE_ENV === 'production' && !source.ENCRYPTION_KEYS)
    problems.push('  - ENCRYPTION_KEYS: is not set, and production needs it for personal fields');
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new Error(`The worker cannot start; set these environment variables right:\n${problems.join('\n')}`);
}
