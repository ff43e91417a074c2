import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { REPOSITORY_ROOT } from '../home.ts';

/** A service of docker-compose.yml, as far as the tests look at it. */
export interface Service {
  readonly image?: string;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
  readonly restart?: string;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly deploy?: { readonly replicas: number };
}

export const composeText = readFileSync(join(REPOSITORY_ROOT, 'docker-compose.yml'), 'utf8');
export const compose = parse(composeText, { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};

/** What `.env` has to hold. */
export const SAMPLE_ENV: Readonly<Record<string, string>> = {
  POSTGRES_PASSWORD: 'a1'.repeat(24),
  DATABASE_PASSWORD: 'b2'.repeat(24),
  REDIS_PASSWORD: 'c3'.repeat(24),
  PUBLIC_URL: 'https://jobs.example.org',
  JWT_SECRET: 'd4'.repeat(24),
  CRON_SECRET: 'e5'.repeat(24),
  FUNCTIONS_API_KEY: '0a'.repeat(24),
  BOARD_PASSWORD: 'f6'.repeat(12),
  ENCRYPTION_KEYS: `k1:${'Zk3v'.repeat(10)}Zk0=`,
};

/** Environment of a service, interpolated as compose does. Errors: for `${NAME:?message}` the name and the message. */
export function environmentOf(service: string, env = SAMPLE_ENV): Record<string, string> {
  const entries = Object.entries(compose.services[service]?.environment ?? {});
  return Object.fromEntries(entries.map(([key, value]) => [key, interpolate(String(value), env)]));
}

function interpolate(value: string, env: Readonly<Record<string, string>>): string {
  return value.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string, rest: string) => {
    if (env[name]) return env[name];
    if (kind === '?') throw new Error(`${name}: ${rest}`);
    return rest ?? '';
  });
}

/** Source of a built file, so that the check needs no build. */
export function sourceOf(builtFile: string): string {
  return join(REPOSITORY_ROOT, builtFile.replace('/dist/', '/src/').replace(/\.js$/, '.ts'));
}
