export { createPool, type Pool, type PoolClient, type PoolOptions, type ServingRole } from './connect.ts';
export { databaseUrl, knownMigrations, type MigrateOptions, migrate, schemaVersion } from './migrate.ts';
export { inSnapshot, type Snapshot, type SnapshotOptions } from './snapshot.ts';
export { type BeforeCommit, escapeLiteral, inTransaction, isUuid } from './tenant.ts';
export { unsafeLogin } from './unsafe-login.ts';
