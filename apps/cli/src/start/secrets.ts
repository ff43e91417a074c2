import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../home.ts';

/** Secrets of one installation; each is text that its environment variable can hold. */
export interface Secrets {
  cronSecret: string;
  functionsApiKey: string;
  jwtSecret: string;
  /** `id:base64` of 32 bytes, the first is active. */
  encryptionKeys: string;
  auditKey: string;
  boardPassword: string;
  /** Of the login role `nightshift`. */
  databasePassword: string;
}

/** A production start without its secrets; the message names the variables. */
export class MissingSecretsError extends Error {
  override readonly name = 'MissingSecretsError';
}

const VARIABLES = {
  cronSecret: 'CRON_SECRET',
  functionsApiKey: 'FUNCTIONS_API_KEY',
  jwtSecret: 'JWT_SECRET',
  encryptionKeys: 'ENCRYPTION_KEYS',
  auditKey: 'AUDIT_KEY',
  boardPassword: 'BOARD_PASSWORD',
} as const satisfies Partial<Record<keyof Secrets, string>>;

function generate(): Secrets {
  return {
    cronSecret: randomBytes(32).toString('base64url'),
    functionsApiKey: randomBytes(32).toString('base64url'),
    jwtSecret: randomBytes(48).toString('base64url'),
    encryptionKeys: `dev1:${randomBytes(32).toString('base64')}`,
    auditKey: randomBytes(32).toString('base64'),
    boardPassword: randomBytes(9).toString('base64url'),
    databasePassword: randomBytes(24).toString('hex'),
  };
}

/** What the home has, completed by new values where an older version made the file. */
function storedSecrets(home: string): Secrets {
  const path = join(home, 'secrets.json');
  const stored: Partial<Secrets> = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const secrets = { ...generate(), ...stored };
  mkdirSync(home, { recursive: true });
  writeFileSync(`${path}.next`, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.next`, path);
  return secrets;
}

/**
 * The environment's secrets, in development completed from `<home>/secrets.json` (0600, made on the first start).
 * @throws MissingSecretsError in production, where nothing is generated.
 */
export function loadSecrets(home: string, env: Environment, production: boolean): Secrets {
  const missing = Object.values(VARIABLES).filter((name) => !env[name] && !(name === 'JWT_SECRET' && env.JWKS_URL));
  if (production && missing.length > 0) {
    throw new MissingSecretsError(
      `NODE_ENV is production, where no secret is made up: set ${missing.join(', ')}, or start without NODE_ENV`,
    );
  }
  const secrets = storedSecrets(home);
  for (const [name, variable] of Object.entries(VARIABLES) as [keyof typeof VARIABLES, string][]) {
    const value = env[variable];
    if (value) secrets[name] = value;
  }
  return secrets;
}

/** As the apps read them. */
export function secretVariables(secrets: Secrets): Record<string, string> {
  const entries = Object.entries(VARIABLES) as [keyof typeof VARIABLES, string][];
  return Object.fromEntries(entries.map(([name, variable]) => [variable, secrets[name]]));
}
