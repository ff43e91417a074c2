import { createSecretKey, type KeyObject } from 'node:crypto';
import { KeyringError } from './errors.ts';

export interface MasterKey {
  readonly id: string;
  readonly key: KeyObject;
}

/** Master keys of one installation. Only the first wraps new data keys; all of them open what they wrapped. */
export interface Keyring {
  readonly active: MasterKey;
  readonly ids: readonly string[];
  find(id: string): MasterKey | undefined;
}

/** AES-256. */
export const KEY_BYTES = 32;

const MAKE_ONE = 'make one with: openssl rand -base64 32';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Reads `id:base64,…`, the first is active. Errors: `KeyringError` with every problem at once. */
export function parseKeyring(text: string): Keyring {
  const problems: string[] = [];
  const keys = new Map<string, MasterKey>();
  const entries = text.split(',').map((entry) => entry.trim());
  for (const [i, entry] of entries.entries()) {
    const colon = entry.indexOf(':');
    const id = colon === -1 ? '' : entry.slice(0, colon);
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(id)) {
      // The entry itself is not shown: without an id it may be a key.
      problems.push(`entry ${i + 1} of ${entries.length} must be id:base64, the id of letters, digits, - and _`);
      continue;
    }
    const encoded = entry.slice(colon + 1);
    const bytes = Buffer.from(encoded, 'base64');
    if (!BASE64.test(encoded)) problems.push(`key '${id}' is not base64; ${MAKE_ONE}`);
    else if (bytes.length !== KEY_BYTES)
      problems.push(`key '${id}' has ${bytes.length} bytes and needs ${KEY_BYTES}; ${MAKE_ONE}`);
    else if (bytes.every((byte) => byte === bytes[0])) problems.push(`key '${id}' is trivial; ${MAKE_ONE}`);
    else if (keys.has(id)) problems.push(`key '${id}' stands twice; give each an id of its own`);
    else keys.set(id, { id, key: createSecretKey(bytes) });
  }
  const [active] = keys.values();
  if (problems.length > 0 || active === undefined) throw new KeyringError(problems);
  return { active, ids: [...keys.keys()], find: (id) => keys.get(id) };
}
