import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadSecrets, MissingSecretsError, secretVariables } from './secrets.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'nightshift-secrets-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test('secrets are made once, for their owner alone', () => {
  const first = loadSecrets(home, {}, false);
  expect(loadSecrets(home, {}, false)).toEqual(first);
  expect(statSync(join(home, 'secrets.json')).mode & 0o777).toBe(0o600);
  expect(new Set(Object.values(first)).size).toBe(Object.keys(first).length);
});

test('two homes have different secrets', () => {
  const other = mkdtempSync(join(tmpdir(), 'nightshift-secrets-'));
  expect(loadSecrets(home, {}, false).jwtSecret).not.toBe(loadSecrets(other, {}, false).jwtSecret);
  rmSync(other, { recursive: true, force: true });
});

test('the environment wins, and is not written into the home', () => {
  const secrets = loadSecrets(home, { JWT_SECRET: 'from-the-environment' }, false);
  expect(secretVariables(secrets).JWT_SECRET).toBe('from-the-environment');
  expect(readFileSync(join(home, 'secrets.json'), 'utf8')).not.toContain('from-the-environment');
});

test('a file of an older version keeps what it has and gets what it lacks', () => {
  writeFileSync(join(home, 'secrets.json'), JSON.stringify({ jwtSecret: 'kept' }));
  const secrets = loadSecrets(home, {}, false);
  expect(secrets.jwtSecret).toBe('kept');
  expect(secrets.boardPassword).not.toBe('');
});

test('in production nothing is made up: every missing variable is named at once', () => {
  const start = () => loadSecrets(home, { CRON_SECRET: 'x', JWKS_URL: 'https://id.example/jwks' }, true);
  expect(start).toThrow(MissingSecretsError);
  expect(start).toThrow(/FUNCTIONS_API_KEY, ENCRYPTION_KEYS, AUDIT_KEY, BOARD_PASSWORD/);
});
