import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { UnknownMasterKeyError, WrappedKeyError } from './errors.ts';
import { KEY_BYTES, type Keyring, type MasterKey } from './keyring.ts';
import { boundTo, seal, unseal } from './seal.ts';

/** A tenant's key, ready for use. */
export interface DataKey {
  readonly id: string;
  readonly tenantId: string;
  readonly key: KeyObject;
}

/** A row of `ops.tenant_keys`, as far as opening it needs. */
export interface WrappedKey {
  readonly id: string;
  readonly tenantId: string;
  readonly masterKeyId: string;
  readonly wrapped: string;
}

/** A fresh key of a tenant, wrapped by this master key. */
export function newWrappedKey(tenantId: string, master: MasterKey): WrappedKey {
  return wrap({ id: randomBytes(12).toString('base64url'), tenantId }, randomBytes(KEY_BYTES), master);
}

function wrap(of: { id: string; tenantId: string }, bytes: Buffer, master: MasterKey): WrappedKey {
  const wrapped = seal(master.key, bytes, aadOf({ ...of, masterKeyId: master.id }));
  bytes.fill(0);
  return { ...of, masterKeyId: master.id, wrapped };
}

/** Errors: `UnknownMasterKeyError`, `WrappedKeyError`. */
export function openKey(row: WrappedKey, keyring: Keyring): DataKey {
  const bytes = unwrapped(row, keyring);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return { id: row.id, tenantId: row.tenantId, key };
}

/** The same key under the active master key. Errors: as `openKey`. */
export function rewrapped(row: WrappedKey, keyring: Keyring): WrappedKey {
  return wrap({ id: row.id, tenantId: row.tenantId }, unwrapped(row, keyring), keyring.active);
}

function unwrapped(row: WrappedKey, keyring: Keyring): Buffer {
  const master = keyring.find(row.masterKeyId);
  if (master === undefined) throw new UnknownMasterKeyError(row.masterKeyId, row.id);
  const bytes = unseal(master.key, row.wrapped, aadOf(row));
  if (bytes === null) throw new WrappedKeyError(row.masterKeyId, row.id);
  return bytes;
}

/** A wrapped key of one tenant cannot be put into another's row. */
function aadOf({ id, tenantId, masterKeyId }: Omit<WrappedKey, 'wrapped'>): Buffer {
  return boundTo('ns.tenant-key', tenantId, id, masterKeyId);
}
