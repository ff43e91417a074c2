import type { Pool } from '@nightshift/db';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import type { Catalogue } from '../catalogue.ts';
import type { DefinedJob } from '../define-job.ts';
import { DeclarationError, NoKeyError } from '../errors.ts';
import { hasPersonal } from './personal.ts';

const NO_KEYS = `this process has no encryption keys: set ENCRYPTION_KEYS (id:base64 of 32 bytes; openssl rand -base64 32)`;

/** Crypto of a process; without keys every call says so. Errors: `KeyringError`. */
export function processCrypto(encryptionKeys: string | undefined, ops: Pick<Pool, 'query'>): FieldCrypto {
  return encryptionKeys === undefined || encryptionKeys === ''
    ? refusing(NO_KEYS)
    : createFieldCrypto({ keyring: parseKeyring(encryptionKeys), pool: ops });
}

/** What a handler of this job gets: it reads and writes only what its declaration says. */
export function jobCrypto(crypto: FieldCrypto, job: DefinedJob): FieldCrypto {
  if (job.decrypts === true) return crypto;
  const refused = refusing(`job '${job.name}' does not declare 'decrypts: true', so it holds no key to read with`);
  if (job.encrypts === true)
    return { ...refused, encrypt: crypto.encrypt, encryptAll: crypto.encryptAll, prepare: crypto.prepare };
  return refusing(`job '${job.name}' declares neither 'encrypts: true' nor 'decrypts: true', so it holds no key`);
}

function refusing(why: string): FieldCrypto {
  const refuse = async (): Promise<never> => {
    throw new NoKeyError(why);
  };
  return { encrypt: refuse, decrypt: refuse, encryptAll: refuse, decryptAll: refuse, prepare: refuse };
}

/** A worker that could only fail such runs must not take them. Errors: `DeclarationError` naming the jobs. */
export function requireKeys(encryptionKeys: string | undefined, catalogue: Catalogue): void {
  if (encryptionKeys) return;
  const jobs = catalogue.jobs.filter(
    (job) => job.decrypts || job.encrypts || hasPersonal(job.input) || (job.kind !== 'sweep' && job.personalResult),
  );
  if (jobs.length === 0) return;
  throw new DeclarationError('The worker cannot start', [
    `${jobs.map((job) => job.name).join(', ')} ${jobs.length === 1 ? 'needs' : 'need'} encryption keys, and ${NO_KEYS}`,
  ]);
}
