export { claimDirectory, type DirectoryClaim } from './directory-claim.ts';
export { AlreadyRunningError, ChildNotReadyError, MissingBinaryError, ServerStartError } from './errors.ts';
export { findFreePort, isPortFree } from './free-port.ts';
export { type PostgresSettings, TEST_POSTGRES_SETTINGS } from './postgres-settings.ts';
export { identifyProcess, isRunning, type ProcessIdentity } from './process-identity.ts';
export type { ServerExit } from './server-process.ts';
export {
  type PostgresServer,
  type PostgresStopMode,
  removePostgresDirectory,
  type StartPostgresOptions,
  startPostgres,
} from './start-postgres.ts';
export { type RedisServer, type RedisSettings, type StartRedisOptions, startRedis } from './start-redis.ts';
export { type AppRole, type AppSpec, WORKER_NODE_FLAGS } from './supervised-app.ts';
export {
  createSupervisor,
  type SupervisedServer,
  type Supervisor,
  type SupervisorEvent,
  type SupervisorOptions,
} from './supervisor.ts';
