import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import type { Keyring } from '@nightshift/db/crypto';
import { BackupKeyError } from './errors.ts';

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The key of one backup, as it stands in its manifest. */
export interface WrappedFileKey {
  /** Id of the master key that opens it. */
  readonly id: string;
  /** base64url of iv, ciphertext, tag. */
  readonly wrapped: string;
}

/** Keys that one backup is made with, drawn for it alone. */
export interface FileKeys {
  /** Seals the frames. */
  readonly frames: KeyObject;
  /** Signs the manifest. */
  readonly manifest: KeyObject;
}

/** A fresh key, wrapped by the active master key. */
export function newFileKey(keyring: Keyring, backupId: string): { keys: FileKeys; stored: WrappedFileKey } {
  const { id, key } = keyring.active;
  const secret = randomBytes(KEY_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo(backupId, id));
  const wrapped = Buffer.concat([iv, cipher.update(secret), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  return { keys: derive(secret), stored: { id, wrapped } };
}

/** Errors: `BackupKeyError`. */
export function openFileKey(keyring: Keyring, backupId: string, stored: WrappedFileKey): FileKeys {
  const master = keyring.find(stored.id);
  if (master === undefined)
    throw new BackupKeyError(backupId, stored.id, 'which ENCRYPTION_KEYS does not hold: add it behind the active one');
  const bytes = Buffer.from(stored.wrapped, 'base64url');
  try {
    const decipher = createDecipheriv('aes-256-gcm', master.key, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(boundTo(backupId, stored.id));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    return derive(
      Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, bytes.length - TAG_BYTES)), decipher.final()]),
    );
  } catch {
    throw new BackupKeyError(
      backupId,
      stored.id,
      'and does not open with it: ENCRYPTION_KEYS holds another key under that id, or the manifest was changed',
    );
  }
}

/** A wrapped key of one backup opens no other. */
function boundTo(backupId: string, keyId: string): Buffer {
  return Buffer.from(JSON.stringify(['ns.backup-key', backupId, keyId]));
}

function derive(secret: Buffer): FileKeys {
  const part = (use: string) =>
    createSecretKey(Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `nightshift backup ${use}`, KEY_BYTES)));
  const keys = { frames: part('frames'), manifest: part('manifest') };
  secret.fill(0);
  return keys;
}

/** Hex HMAC-SHA-256. */
export function sign(keys: FileKeys, text: string): string {
  return createHmac('sha256', keys.manifest).update(text).digest('hex');
}
