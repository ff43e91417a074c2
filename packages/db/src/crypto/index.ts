export { DecryptionError, KeyringError, UnknownMasterKeyError, WrappedKeyError } from './errors.ts';
export { createFieldCrypto, type FieldCrypto, type FieldRef } from './field-crypto.ts';
export {
  forgetTenantKey,
  listTenantKeys,
  retireTenantKeys,
  rewrapTenantKeys,
  type TenantKeyView,
} from './key-care.ts';
export { type Keyring, parseKeyring } from './keyring.ts';
