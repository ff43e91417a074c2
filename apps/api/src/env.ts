import { isIP } from 'node:net';
import { encryptionKeysVariable } from '@nightshift/engine/crypto';
import { z } from 'zod';

const url = (protocols: readonly string[], example: string) =>
  z
    .string()
    .refine((value) => protocols.includes(protocolOf(value) ?? ''), { error: `expected a URL like ${example}` });
const count = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const flag = z.enum(['true', 'false']).transform((value) => value === 'true');

/** Everything the API reads from its environment. The descriptions are the source of `.env.example`. */
export const envSchema = z.object({
  NODE_ENV: z
    .enum(['development', 'test', 'production'])
    .default('development')
    .describe('production refuses to start on an unsafe configuration'),
  HOST: z
    .string()
    .refine((host) => isIP(host) !== 0 || host === 'localhost', { error: 'expected an IP address, such as 127.0.0.1' })
    .default('127.0.0.1')
    .describe('Address the API listens on; 0.0.0.0 inside a container'),
  PORT: count(0, 65_535).default(3_000).describe('Port the API listens on; 0 takes a free one'),
  PUBLIC_URL: url(['http:', 'https:'], 'https://jobs.example.org')
    .optional()
    .describe('Address that callers use, without a path; https and required in production'),
  DATABASE_URL: url(['postgres:', 'postgresql:'], 'postgres://nightshift:password@127.0.0.1:5432/nightshift').describe(
    'Postgres, as the login role nightshift (never a superuser)',
  ),
  REDIS_URL: url(['redis:', 'rediss:'], 'redis://:password@127.0.0.1:6379').describe('Redis or Valkey with noeviction'),
  NIGHTSHIFT_NS: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, { error: 'expected lower-case letters, digits and dashes, such as ns' })
    .default('ns')
    .describe('What every name in Redis begins with; two installations on one Redis need two'),
  API_POOL_MAX: count(2, 200).default(20).describe('Postgres connections of one API process, per role'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least important log line that is written'),
  JWT_SECRET: z
    .string()
    .min(32, { error: 'expected at least 32 characters; make one with: openssl rand -base64 48' })
    .optional()
    .describe('Checks HS256 bearer tokens; needed unless JWKS_URL is set'),
  JWKS_URL: url(['http:', 'https:'], 'https://login.example.org/.well-known/jwks.json')
    .optional()
    .describe('Public keys that check bearer tokens of an identity provider'),
  JWT_ISSUER: z.string().min(1).default('nightshift').describe('Issuer that tokens must name'),
  JWT_AUDIENCE: z.string().min(1).default('nightshift').describe('Audience that tokens must name'),
  CRON_SECRET: z
    .string()
    .min(16, { error: 'expected at least 16 characters; make one with: openssl rand -hex 32' })
    .describe('Bearer secret of the cron paths of gym (/api/cron/…) and clinic (/api/jobs/…)'),
  ENCRYPTION_KEYS: encryptionKeysVariable,
  FUNCTIONS_API_KEY: z
    .string()
    .min(16, { error: 'expected at least 16 characters; make one with: openssl rand -hex 32' })
    .optional()
    .describe('Bearer key of the litigation function paths (/functions/v1/…); required in production'),
  LOVABLE_API_KEY: z
    .string()
    .min(16, { error: 'expected at least 16 characters; make one with: openssl rand -hex 32' })
    .optional()
    .describe('Another name for FUNCTIONS_API_KEY, which comes first'),
  FUNCTIONS_ALLOW_ORIGIN: z
    .string()
    .refine((value) => value === '*' || (URL.canParse(value) && new URL(value).origin === value), {
      error: 'expected * or one origin, such as https://app.example.org',
    })
    .default('*')
    .describe('Whose pages may call the function paths: Access-Control-Allow-Origin'),
  GYM_CRON_ALLOW_GET: flag
    .default(false)
    .describe('In production, let GET on the gym cron paths start jobs, with the secret'),
  MEDICATION_REQUESTS_PER_MINUTE: count(1, 10_000_000)
    .default(6_000)
    .describe('Requests that one address may send to the medication paths (/api/v1/jobs/…) in a minute'),
  BOARD_PASSWORD: z
    .string()
    .min(12, { error: 'expected at least 12 characters; make one with: openssl rand -base64 18' })
    .optional()
    .describe('Password of the user admin at /admin/sign-in; required in production. Tokens sign in too'),
  METRICS_TOKEN: z
    .string()
    .min(16, { error: 'expected at least 16 characters' })
    .optional()
    .describe('Bearer token of /metrics; without one, production answers /metrics to loopback alone'),
  TRUST_PROXY_HOPS: count(0, 10)
    .default(0)
    .describe('Reverse proxies in front of the API, exactly; 0 believes no X-Forwarded-For'),
});

export type Env = z.output<typeof envSchema>;

/** The environment cannot be used; the message lists every problem with its fix, and no value. */
export class EnvError extends Error {
  override readonly name = 'EnvError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The API cannot start with this environment:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Errors: `EnvError` with every problem at once. An empty variable counts as not set. */
export function readEnv(source: Readonly<Record<string, string | undefined>>): Env {
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = envSchema.safeParse(given);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => problemOf(issue, given));
  problems.push(...keyProblems(given));
  if (given.NODE_ENV === 'production') problems.push(...productionProblems(given));
  if (!parsed.success || problems.length > 0) throw new EnvError([...new Set(problems)]);
  return parsed.data;
}

function problemOf(issue: z.core.$ZodIssue, given: Given): string {
  const name = String(issue.path[0]);
  const { description } = envSchema.shape[name as keyof typeof envSchema.shape];
  if (given[name] === undefined) return `${name} is not set: ${description}`;
  // Of a number that is none zod says NaN, which nobody wrote.
  if (issue.code === 'invalid_type') return `${name}: expected a number: ${description}`;
  return `${name}: ${issue.message}`;
}

type Given = Readonly<Record<string, string | undefined>>;

function* keyProblems(given: Given): Generator<string> {
  if (given.JWT_SECRET === undefined && given.JWKS_URL === undefined) {
    yield 'JWT_SECRET or JWKS_URL must be set: without one no token can be checked';
  }
}

const SECRETS = ['JWT_SECRET', 'CRON_SECRET', 'FUNCTIONS_API_KEY', 'BOARD_PASSWORD', 'METRICS_TOKEN'] as const;
const WELL_KNOWN =
  /^(.)\1*$|change.?me|your[-_ ]?secret|example|password|development|nightshift-dev|^secret|^test|^dev[-_]/i;

function* productionProblems(given: Given): Generator<string> {
  if (given.BOARD_PASSWORD === undefined) yield 'BOARD_PASSWORD is not set: it guards /admin/queues in production';
  if (given.ENCRYPTION_KEYS === undefined)
    yield 'ENCRYPTION_KEYS is not set: personal fields of inputs are encrypted with it; make one key with: echo "k1:$(openssl rand -base64 32)"';
  if (given.FUNCTIONS_API_KEY === undefined && given.LOVABLE_API_KEY === undefined) {
    yield 'FUNCTIONS_API_KEY is not set: it guards /functions/v1/…; make one with: openssl rand -hex 32';
  }
  if (given.PUBLIC_URL === undefined) yield 'PUBLIC_URL is not set: production needs its https address';
  for (const name of ['PUBLIC_URL', 'JWKS_URL'] as const) {
    const value = given[name];
    if (value !== undefined && protocolOf(value) === 'http:') yield `${name} must be https in production`;
  }
  if (given.CRON_SECRET !== undefined && given.CRON_SECRET.length < 32) {
    yield 'CRON_SECRET must have at least 32 characters in production; make one with: openssl rand -hex 32';
  }
  for (const name of SECRETS) {
    const value = given[name];
    if (value !== undefined && WELL_KNOWN.test(value))
      yield `${name} is a well-known or trivial value; make one with: openssl rand -base64 48`;
    const same = SECRETS.find((other) => other < name && value !== undefined && given[other] === value);
    if (same !== undefined) yield `${name} and ${same} are the same: whoever learns one would hold both`;
  }
  if (given.DATABASE_URL !== undefined && /^(postgres|root|admin)$/.test(userOf(given.DATABASE_URL))) {
    yield 'DATABASE_URL connects as a superuser: use the login role nightshift, or tenant isolation does not hold';
  }
}

function protocolOf(value: string): string | null {
  return URL.canParse(value) ? new URL(value).protocol : null;
}

function userOf(value: string): string {
  return URL.canParse(value) ? new URL(value).username : '';
}
