import type pg from 'pg';
import { UnreadableTablesError } from './errors.ts';

export type Reader = Pick<pg.Client, 'query'>;

/** A table whose rows are saved. */
export interface Table {
  readonly oid: number;
  /** `schema.table` */
  readonly name: string;
  /** Quoted for SQL. */
  readonly sql: string;
  /** By name: a restored database may have them in another order. */
  readonly columns: readonly Column[];
  /** Columns of the primary key; null when it has none. */
  readonly key: readonly string[] | null;
  readonly tenantColumn: string | null;
}

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly generated: boolean;
}

/** What a backup leaves out, and why. */
export const NOT_SAVED: Readonly<Record<string, string>> = {
  'ops.migrations': 'the restored database has its own; the manifest says which schema is needed',
  'ops.tenant_keys': 'keys are not kept with what they open: nightshift backup keys saves them apart',
  'ops.workers': 'processes that are alive now',
  'ops.broker': 'names the Redis of this database; a restored one must not take the old dispatches for its own',
  'ops.queues': 'whose turn it is next',
  'ops.dispatches': 'which runs Redis holds; a restored database has none of them in hand, and hands them out again',
  'ops.limit_starts': 'starts of the last minute',
};

interface TableRow {
  oid: number;
  schema: string;
  relation: string;
  readable: boolean;
  columns: (Column & { name: string })[];
  key: string[] | null;
}

/** Every table of every schema of ours, partitioned ones as one, by name. Errors: `UnreadableTablesError` as ns_backup. */
export async function readTables(client: Reader): Promise<Table[]> {
  const { rows } = await client.query<TableRow>(
    `SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS relation,
       has_table_privilege(c.oid, 'SELECT') AND (NOT c.relrowsecurity OR pg_has_role(c.relowner, 'MEMBER') OR EXISTS (
         SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
           AND (0 = ANY (p.polroles) OR (SELECT oid FROM pg_roles WHERE rolname = current_user) = ANY (p.polroles))
           AND pg_get_expr(p.polqual, p.polrelid) = 'true')) AS readable,
       (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'generated', a.attgenerated <> '')
          ORDER BY a.attname COLLATE "C") FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
          CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
          WHERE i.indrelid = c.oid AND i.indisprimary) AS key
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
       AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
     ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  const saved = rows.filter((row) => NOT_SAVED[nameOf(row)] === undefined);
  const unreadable = saved.filter((row) => !row.readable);
  if (unreadable.length > 0) throw new UnreadableTablesError(unreadable.map(nameOf));
  return saved.map(tableOf);
}

const nameOf = (row: { schema: string; relation: string }) => `${row.schema}.${row.relation}`;

function tableOf(row: TableRow): Table {
  const name = nameOf(row);
  const columns = row.columns ?? [];
  return {
    oid: row.oid,
    name,
    sql: `${quoted(row.schema)}.${quoted(row.relation)}`,
    columns,
    key: row.key,
    tenantColumn:
      name === 'ops.tenants' ? 'id' : columns.some((column) => column.name === 'tenant_id') ? 'tenant_id' : null,
  };
}

/** An identifier for SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."table"` of `schema.table`. */
export function quotedName(name: string): string {
  const dot = name.indexOf('.');
  return `${quoted(name.slice(0, dot))}.${quoted(name.slice(dot + 1))}`;
}

/** Settings under which rows read as text are the same everywhere. */
export const TEXT_SETTINGS = `SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres';
  SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL client_encoding = 'UTF8'`;

export interface Measure {
  readonly rows: number;
  /** Rows last changed by transactions below the horizon. */
  readonly settled: number;
  /** Sum over the rows of 128 bits of each row's SHA-256, modulo 2^128, in hex: the same whatever the order. */
  readonly hash: string;
}

/** SQL that is true for a row whose last change is older than this transaction id (xid8, as text). */
export function settledBefore(horizon: string): string {
  // age() compares modulo 2^32: right as long as the horizon is less than 2^31 transactions back, which `pickBase` sees to.
  return `age(t.xmin) > age('${horizon}'::xid8::xid)`;
}

/** Counts and hashes a table, all columns, generated ones too. Rows of one tenant alone where `tenantId` is given. */
export async function measure(
  client: Reader,
  table: Table,
  by: { horizon: string | null; tenantId: string | null },
): Promise<Measure> {
  const row = `ROW(${table.columns.map((column) => `t.${quoted(column.name)}`).join(', ')})::text`;
  // OFFSET 0 keeps the planner from writing the digest out twice, and computing it twice.
  const { rows } = await client.query<{ rows: string; settled: string; high: string | null; low: string | null }>(
    `SELECT count(*)::text AS rows, count(*) FILTER (WHERE ${by.horizon === null ? 'true' : settledBefore(by.horizon)})::text AS settled,
       sum(('x' || left(h, 16))::bit(64)::int8::numeric)::text AS high, sum(('x' || right(h, 16))::bit(64)::int8::numeric)::text AS low
     FROM ${table.sql} t CROSS JOIN LATERAL (SELECT left(encode(sha256(convert_to(${row}, 'UTF8')), 'hex'), 32) AS h OFFSET 0) AS digest
     ${whose(table, by.tenantId)}`,
  );
  const [found] = rows;
  if (found === undefined) throw new Error(`no answer on ${table.name}`);
  const hash = ['high', 'low'] as const;
  return {
    rows: Number(found.rows),
    settled: Number(found.settled),
    hash: hash
      .map((part) =>
        BigInt.asUintN(64, BigInt(found[part] ?? '0'))
          .toString(16)
          .padStart(16, '0'),
      )
      .join(''),
  };
}

/** WHERE clause for one tenant's rows. The id is put into the text, since COPY takes no parameters. */
export function whose(table: Table, tenantId: string | null, and = ''): string {
  const conditions = [
    ...(tenantId === null || table.tenantColumn === null
      ? []
      : [`t.${quoted(table.tenantColumn)} = ${literal(tenantId)}`]),
    ...(and === '' ? [] : [and]),
  ];
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
}

function literal(uuid: string): string {
  if (!/^[0-9a-f-]{36}$/i.test(uuid)) throw new TypeError(`tenant id must be a UUID, got '${uuid}'`);
  return `'${uuid}'`;
}
