import type { SqlClient } from './define-job.ts';

/** A statement that Postgres plans once a connection: the hot path. Names are global: one text, one name. */
export async function namedQuery<Row extends object = Record<string, unknown>>(
  client: SqlClient,
  name: string,
  text: string,
  values: unknown[],
): Promise<Row[]> {
  return (await client.query<Row>({ name, text, values })).rows;
}
