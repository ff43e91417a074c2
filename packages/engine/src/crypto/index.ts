export * from '@nightshift/db/crypto';
export { personal } from './personal.ts';
