import type { FileColumn } from './check-header.ts';
import { type ImportReference, type ImportUnique, type TableImport, targetOf } from './table-import.ts';

/** What the file says, with line numbers; then the same with references resolved and defaults filled in. */
export const STAGE = 'pg_temp.import_stage';
const ROWS = 'pg_temp.import_rows';

export function createStage(columns: readonly FileColumn[]): string {
  const definitions = columns.map(({ name, type }) => `${name} ${type.sql}`);
  return `CREATE TEMP TABLE import_stage (line integer, ${definitions.join(', ')}) ON COMMIT DROP`;
}

/** CREATE TABLE AS takes no parameters; the tenant is the one that `ops.current_tenants()` has. */
export function resolveRows(spec: TableImport, columns: readonly FileColumn[]): string {
  const inFile = new Set(columns.map(({ name }) => name));
  const values = spec.columns.map((column) => {
    const { name, type, fallback } = column;
    const given = inFile.has(name) ? `stage.${name}` : `NULL::${type.sql}`;
    return `${fallback === undefined ? given : `coalesce(${given}, ${fallback})`} AS ${targetOf(column)}`;
  });
  const references = spec.references.map((reference, at) => {
    const by = givenBy(reference, inFile);
    return {
      values: `ref${at}.id AS ${reference.column}, stage.${by.column}::text AS given_${reference.column}`,
      join: `LEFT JOIN ${reference.table} AS ref${at} ON ref${at}.tenant_id = tenant.id AND ref${at}.${by.key} = stage.${by.column}`,
    };
  });
  return `CREATE TEMP TABLE import_rows ON COMMIT DROP AS
    SELECT stage.line, tenant.id AS tenant_id, ${[...values, ...references.map(({ values }) => values)].join(', ')}
    FROM ${STAGE} AS stage CROSS JOIN (SELECT (ops.current_tenants())[1] AS id) AS tenant
    ${references.map(({ join }) => join).join('\n')}`;
}

/** Statements that each find one kind of wrong row: line, column, reason. `$1` is how many to return at most. */
export function rowChecks(spec: TableImport, columns: readonly FileColumn[]): string[] {
  const inFile = new Set(columns.map(({ name }) => name));
  return [
    ...spec.checks.map(
      ({ column, wrong, reason }) =>
        `SELECT line, '${column}' AS column, '${reason}' AS reason FROM ${ROWS} WHERE ${wrong}`,
    ),
    ...spec.references.map((reference) => {
      const { column } = givenBy(reference, inFile);
      return `SELECT line, '${column}' AS column, 'no ${reference.noun} ''' || left(given_${reference.column}, 40) || ''' here' AS reason
        FROM ${ROWS} WHERE ${reference.column} IS NULL`;
    }),
    ...spec.unique
      .filter((unique) => isGiven(spec, unique, inFile))
      .flatMap((unique) => [twiceInFile(unique), thereAlready(spec, unique)]),
  ].map((check) => `${check} ORDER BY line LIMIT $1`);
}

export function insertRows(spec: TableImport): string {
  const names = ['tenant_id', ...spec.columns.map(targetOf), ...spec.references.map(({ column }) => column)].join(', ');
  return `INSERT INTO ${spec.table} (${names}) SELECT ${names} FROM ${ROWS} ORDER BY line`;
}

function twiceInFile({ columns, words }: ImportUnique): string {
  const complete = columns.map((column) => `${column} IS NOT NULL`).join(' AND ');
  return `SELECT line, NULL AS column, 'same ${words} as line ' || first AS reason
    FROM (SELECT line, min(line) OVER (PARTITION BY ${columns.join(', ')}) AS first FROM ${ROWS} WHERE ${complete}) AS numbered
    WHERE line > first`;
}

function thereAlready(spec: TableImport, { columns, words }: ImportUnique): string {
  const same = [...new Set(['tenant_id', ...columns])]
    .map((column) => `present.${column} = rows.${column}`)
    .join(' AND ');
  return `SELECT line, NULL AS column, '${spec.table} has a row of this ${words} already' AS reason
    FROM ${ROWS} AS rows WHERE EXISTS (SELECT FROM ${spec.table} AS present WHERE ${same})`;
}

/** Ids that we make ourselves cannot meet. */
function isGiven(spec: TableImport, unique: ImportUnique, inFile: ReadonlySet<string>): boolean {
  const resolved = ['tenant_id', ...spec.references.map(({ column }) => column)];
  return unique.columns.every((column) => inFile.has(column) || resolved.includes(column));
}

function givenBy(reference: ImportReference, inFile: ReadonlySet<string>): ImportReference['by'][number] {
  const by = reference.by.find(({ column }) => inFile.has(column));
  if (by === undefined) throw new TypeError(`the header was accepted without a column for ${reference.column}`);
  return by;
}
