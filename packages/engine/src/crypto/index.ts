export * from '@nightshift/db/crypto';
export { encryptionKeysVariable } from './keys-variable.ts';
export { personal } from './personal.ts';
