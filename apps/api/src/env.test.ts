import { describe, expect, test } from 'vitest';
import { EnvError, envSchema, readEnv } from './env.ts';

const DEVELOPMENT = {
  DATABASE_URL: 'postgres://nightshift:x@127.0.0.1:5432/nightshift',
  REDIS_URL: 'redis://127.0.0.1:6379',
  JWT_SECRET: 'Zk3vJ8wq0pLr7sYt2uXe5nBc9mAd4fGh',
  CRON_SECRET: 'q8Rw2Lk5Vx0Tn7Jm3Hb6Pd9Sf4Gc1Zy-',
};
const PRODUCTION = {
  ...DEVELOPMENT,
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://jobs.clinic.org',
  BOARD_PASSWORD: 'Wm4-Tq9-Lz2-Kx7',
  FUNCTIONS_API_KEY: 'Lp5Dn8Xw2Rk6Ht0Zc4Vb9Qs3Jm7Fg1Ty',
  ENCRYPTION_KEYS: `k1:${'Zk3v'.repeat(10)}Zk0=`,
};

function problemsOf(source: Record<string, string | undefined>): readonly string[] {
  try {
    readEnv(source);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(EnvError);
    return (error as EnvError).problems;
  }
}

test('development needs the servers and the secrets, and nothing else', () => {
  expect(readEnv(DEVELOPMENT)).toMatchObject({
    PORT: 3000,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    NIGHTSHIFT_NS: 'ns',
    GYM_CRON_ALLOW_GET: false,
  });
});

test('every problem is told at once, each with its variable, none with its value', () => {
  const problems = problemsOf({
    PORT: 'eighty',
    REDIS_URL: 'http://secret-host',
    CRON_SECRET: 'hunter2',
    LOG_LEVEL: 'loud',
  });
  expect(problems.map((problem) => problem.split(/[: ]/)[0]).sort()).toEqual([
    'CRON_SECRET', 'DATABASE_URL', 'JWT_SECRET', 'LOG_LEVEL', 'PORT', 'REDIS_URL',
  ]); // biome-ignore format: a list of words
  expect(problems.join()).not.toMatch(/eighty|secret-host|hunter2|loud/);
});

test.each(['abc', 'NaN', '30x0'])('a PORT that is %s is wrong, and not told as one that is not set', (PORT) => {
  const [problem, ...others] = problemsOf({ ...DEVELOPMENT, PORT });
  expect(others).toEqual([]);
  expect(problem).toMatch(/^PORT: expected a number/);
  expect(problem).not.toContain('not set');
});

test('a variable that is missing is told as not set, with what it is for', () => {
  expect(problemsOf({ ...DEVELOPMENT, DATABASE_URL: undefined })).toEqual([
    expect.stringMatching(/^DATABASE_URL is not set: Postgres/),
  ]);
});

test('an empty variable counts as not set', () => {
  expect(readEnv({ ...DEVELOPMENT, PORT: '', METRICS_TOKEN: '' }).PORT).toBe(3000);
  expect(problemsOf({ ...DEVELOPMENT, CRON_SECRET: '' })).toHaveLength(1);
});

test('a complete production environment is accepted', () => {
  expect(problemsOf(PRODUCTION)).toEqual([]);
});

describe('production refuses', () => {
  test.each([
    ['no public address', { PUBLIC_URL: undefined }, /PUBLIC_URL is not set/],
    ['a public address without TLS', { PUBLIC_URL: 'http://jobs.clinic.org' }, /PUBLIC_URL must be https/],
    ['keys fetched without TLS', { JWKS_URL: 'http://login.clinic.org/jwks' }, /JWKS_URL must be https/],
    ['no key of the function paths', { FUNCTIONS_API_KEY: undefined }, /FUNCTIONS_API_KEY is not set/],
    [
      'a function path’s origin with a path',
      { FUNCTIONS_ALLOW_ORIGIN: 'https://app.example.org/x' },
      /FUNCTIONS_ALLOW_ORIGIN: expected/,
    ],
    ['a board without a password', { BOARD_PASSWORD: undefined }, /BOARD_PASSWORD is not set/],
    ['no way to check a token', { JWT_SECRET: undefined }, /JWT_SECRET or JWKS_URL/],
    ['a short token secret', { JWT_SECRET: 'short' }, /JWT_SECRET: expected at least 32/],
    ['a short cron secret', { CRON_SECRET: 'Wm4-Tq9-Lz2-Kx7-Ab' }, /CRON_SECRET must have at least 32/],
    [
      'the secret of a manual',
      { CRON_SECRET: 'your-secret-key-here-and-some-more-of-it' },
      /CRON_SECRET is a well-known/,
    ],
    ['no keys to encrypt with', { ENCRYPTION_KEYS: undefined }, /ENCRYPTION_KEYS is not set/],
    [
      'a key that is too short',
      { ENCRYPTION_KEYS: 'k1:c2hvcnQ=' },
      /ENCRYPTION_KEYS: key 'k1' has 5 bytes and needs 32/,
    ],
    ['a trivial secret', { JWT_SECRET: 'a'.repeat(40) }, /JWT_SECRET is a well-known/],
    ['one secret for two doors', { CRON_SECRET: DEVELOPMENT.JWT_SECRET }, /are the same/],
    ['the superuser of the database', { DATABASE_URL: 'postgres://postgres:x@db/nightshift' }, /superuser/],
  ])('%s', (_name, change, expected) => {
    expect(problemsOf({ ...PRODUCTION, ...change }).join('\n')).toMatch(expected);
  });
});

test('every variable says what it is for', () => {
  for (const [name, schema] of Object.entries(envSchema.shape))
    expect([name, schema.description]).not.toContain(undefined);
});
