import { schemaVersion } from '@nightshift/db';
import pg from 'pg';
import { address } from '../servers.ts';
import { clockFinding, expect, type Finding, ok, problem } from './finding.ts';

type Query = Pick<pg.Client, 'query'>;

/** `transaction_timeout`, which takes a stopped worker's transaction away, came with 17. */
const OLDEST_VERSION = 170_000;

/** Is Postgres there, does it keep what it commits, and does it keep tenants apart? Never rejects. */
export async function checkPostgres(url: string): Promise<Finding[]> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 3_000,
    query_timeout: 5_000,
    application_name: 'nightshift-doctor',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return [ok('postgres', `answers at ${address(url)}`), ...(await findings(client))];
  } catch (error) {
    const reason = (error as Error).message || 'no answer';
    return [
      problem('postgres', `${address(url)}: ${reason}`, 'Start Postgres, or set DATABASE_URL to one that answers.'),
    ];
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function findings(client: Query): Promise<Finding[]> {
  const found: Finding[] = [];
  // The login role itself may see nothing. Where this is refused, the check of the role says so.
  await client.query('SET ROLE ns_ops').catch(() => undefined);
  for (const check of [version, schema, role, rowSecurity, durability, partitions, connections, clock]) {
    try {
      found.push(await check(client));
    } catch (error) {
      found.push(
        problem(`postgres ${check.name}`, (error as Error).message, 'Run nightshift migrate, then look again.'),
      );
    }
  }
  return found;
}

async function one<Row extends pg.QueryResultRow>(client: Query, text: string): Promise<Row> {
  const { rows } = await client.query<Row>(text);
  const [row] = rows;
  if (row === undefined) throw new Error('the check returned no row');
  return row;
}

async function version(client: Query): Promise<Finding> {
  const row = await one<{ number: number; name: string }>(
    client,
    `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS name`,
  );
  return expect(row.number >= OLDEST_VERSION, 'postgres version', row.name, 'Use Postgres 17 or later.');
}

async function schema(client: Query): Promise<Finding> {
  const state = await schemaVersion(client as unknown as pg.Pool);
  return expect(
    state.current,
    'postgres schema',
    state.current ? state.database : `${state.database}, this build knows ${state.build}`,
    'Run nightshift migrate with this build, or start the build that made the database.',
  );
}

async function role(client: Query): Promise<Finding> {
  const row = await one<{ name: string; super: boolean; bypass: boolean; owner: boolean; serving: boolean }>(
    client,
    `SELECT r.rolname AS name, r.rolsuper AS super, r.rolbypassrls AS bypass,
       pg_has_role(r.oid, 'ns_owner', 'MEMBER')
         OR EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relowner = r.oid AND n.nspname = 'ops') AS owner,
       pg_has_role(r.oid, 'ns_app', 'MEMBER') AND pg_has_role(r.oid, 'ns_ops', 'MEMBER') AS serving
     FROM pg_roles r WHERE r.rolname = session_user`,
  );
  const faults = [
    row.super ? 'is a superuser' : null,
    row.bypass ? 'may bypass row-level security' : null,
    row.owner && !row.super ? 'owns the tables' : null,
    row.serving ? null : 'is no member of ns_app and ns_ops',
  ].filter((fault) => fault !== null);
  return expect(
    faults.length === 0,
    'postgres role',
    faults.length === 0 ? `${row.name}, neither owner nor superuser` : `${row.name} ${faults.join(' and ')}`,
    "Connect as the login role 'nightshift' that nightshift migrate makes.",
  );
}

async function rowSecurity(client: Query): Promise<Finding> {
  const row = await one<{ all: number; open: string[]; granted: string[] }>(
    client,
    `WITH tenant_tables AS (
       SELECT c.oid, c.oid::regclass::text AS name, c.relispartition, c.relrowsecurity AND c.relforcerowsecurity AS forced
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
         AND (c.oid = 'ops.tenants'::regclass OR EXISTS (
           SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)))
     SELECT count(*) FILTER (WHERE NOT relispartition)::int AS "all",
       coalesce(array_agg(name) FILTER (WHERE NOT forced AND NOT relispartition AND has_any_column_privilege('ns_app', oid, 'SELECT, INSERT, UPDATE')), '{}') AS open,
       coalesce(array_agg(name) FILTER (WHERE NOT forced AND relispartition AND has_any_column_privilege('ns_app', oid, 'SELECT, INSERT, UPDATE')), '{}') AS granted
     FROM tenant_tables`,
  );
  const open = [...row.open, ...row.granted];
  return expect(
    open.length === 0,
    'postgres tenants',
    open.length === 0
      ? `row-level security forced on ${row.all} tables`
      : `no forced row-level security on ${open.join(', ')}`,
    'ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, with a policy on ops.current_tenants().',
  );
}

async function durability(client: Query): Promise<Finding> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name`,
  );
  const off = rows.filter((row) => row.setting === 'off').map((row) => row.name);
  return expect(
    off.length === 0,
    'postgres durability',
    rows.map((row) => `${row.name} ${row.setting}`).join(', '),
    `What was answered 202 could be lost in a crash: turn ${off.join(', ')} on.`,
  );
}

async function partitions(client: Query): Promise<Finding> {
  const { rows } = await client.query<{ part: string }>(
    `SELECT part FROM (
       SELECT parent || '_' || to_char((now() AT TIME ZONE 'UTC') + step * interval '7 days', 'IYYY"w"IW') AS part
       FROM unnest(ARRAY['runs', 'payloads', 'attempts', 'item_failures']) parent, generate_series(0, 2) step
       UNION ALL
       SELECT parent || '_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + step * interval '1 month', 'YYYY"m"MM')
       FROM unnest(ARRAY['ticks', 'audit_log']) parent, generate_series(0, 1) step) wanted
     WHERE to_regclass('ops.' || part) IS NULL ORDER BY part`,
  );
  return expect(
    rows.length === 0,
    'postgres partitions',
    rows.length === 0 ? 'made two weeks and a month ahead' : `missing: ${rows.map((row) => row.part).join(', ')}`,
    'Workers make them each day; until one runs: nightshift migrate.',
  );
}

async function connections(client: Query): Promise<Finding> {
  // pg_stat_activity would hide the sessions of other roles.
  const row = await one<{ most: number; used: number }>(
    client,
    `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
       (SELECT sum(numbackends)::int FROM pg_stat_database) AS used`,
  );
  return expect(
    row.used < row.most * 0.8,
    'postgres connections',
    `${row.used} of ${row.most} in use`,
    'Raise max_connections, or run fewer workers: each process keeps two pools.',
  );
}

async function clock(client: Query): Promise<Finding> {
  const before = Date.now();
  const row = await one<{ ms: number }>(client, `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms`);
  return clockFinding('postgres clock', row.ms, before, Date.now());
}
