import pg from 'pg';

/** The useful job of the peers: one row changed by id, or the rows of a batch in one statement. */
export interface Effect {
  update(id: number): Promise<unknown>;
  updateMany(ids: readonly number[]): Promise<unknown>;
  close(): Promise<void>;
}

/** On connections of its own, `max` at most; statements are planned once a connection. */
export function createEffect(databaseUrl: string, max: number): Effect {
  const pool = new pg.Pool({ connectionString: databaseUrl, max });
  pool.on('error', () => undefined);
  return {
    update: (id) =>
      pool.query({
        name: 'bench-update',
        text: 'UPDATE bench.rows SET n = n + 1, touched_at = now() WHERE id = $1',
        values: [id],
      }),
    updateMany: (ids) =>
      pool.query({
        name: 'bench-update-many',
        text: `UPDATE bench.rows AS r SET n = n + g.times, touched_at = now()
          FROM (SELECT id, count(*)::integer AS times FROM unnest($1::integer[]) AS id GROUP BY id ORDER BY id) AS g
          WHERE r.id = ANY ($1) AND r.id = g.id`,
        values: [ids],
      }),
    close: () => pool.end(),
  };
}
