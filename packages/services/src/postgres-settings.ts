export type PostgresSettings = Record<string, string | number>;

/**
 * Sized for one developer's machine with 2 cores. The log holds no values of statements, because values are
 * personal data: no parameters, and `terse` leaves out DETAIL (which quotes the row).
 */
const DEFAULTS: PostgresSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: 300,
  shared_buffers: '256MB',
  effective_cache_size: '1GB',
  work_mem: '8MB',
  maintenance_work_mem: '128MB',
  fsync: 'on',
  synchronous_commit: 'on',
  wal_level: 'replica',
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  checkpoint_timeout: '10min',
  autovacuum: 'on',
  autovacuum_naptime: '15s',
  random_page_cost: 1.1,
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  password_encryption: 'scram-sha-256',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_line_prefix: '%m [%p] %q%u@%d %a ',
  log_min_duration_statement: '2s',
  log_lock_waits: 'on',
  log_checkpoints: 'off',
  log_error_verbosity: 'terse',
  log_parameter_max_length: 0,
  log_parameter_max_length_on_error: 0,
};

/** For tests: a crash of the machine may lose everything, a crash of a process loses nothing. */
export const TEST_POSTGRES_SETTINGS: PostgresSettings = {
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '192MB',
  checkpoint_timeout: '1h',
  autovacuum_naptime: '5s',
};

/** The whole postgresql.conf, written anew at each start; `ALTER SYSTEM` still wins over it. */
export function renderPostgresConf(port: number, settings: PostgresSettings): string {
  const all: PostgresSettings = { ...DEFAULTS, ...settings, port };
  const lines = Object.entries(all).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
  return `# Written by Nightshift at each start; changes here are lost.\n${lines.join('\n')}\n`;
}
