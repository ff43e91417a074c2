import { createPool } from '@nightshift/db';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createHousekeeping } from './housekeeping.ts';
import { testStore, until } from './testing/index.ts';

it('gives way to whoever reads a table for long, does the rest meanwhile, and nobody stands in line behind it', async () => {
  const store = await testStore();
  const ops = createPool({ url: store.databaseUrl, role: 'ns_ops', name: 'test-ops', max: 1 });
  const reader = await store.admin.connect();
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  try {
    // The furthest of the weeks ahead has yet to be made.
    const { rows } = await store.admin.query<{ name: string }>(
      `SELECT max(inhrelid::regclass::text) AS name FROM pg_inherits WHERE inhparent = 'ops.runs'::regclass AND inhrelid <> 'ops.runs_default'::regclass`,
    );
    const missing = rows[0]?.name ?? '';
    const isThere = async () =>
      (await store.admin.query(`SELECT to_regclass($1) IS NOT NULL AS yes`, [missing])).rows[0].yes;
    await store.admin.query(`DROP TABLE ${missing}`);
    await store.admin.query(
      `INSERT INTO ops.workers (id, host, pid, version, slots, jobs, heartbeat_at) VALUES ('gone', 'gone', 1, '0', '{}', '{}', now() - interval '2 days')`,
    );
    // As a backup does it, for minutes.
    await reader.query('BEGIN; LOCK TABLE ops.runs IN ACCESS SHARE MODE');
    let housekeeping = createHousekeeping({ ops, log, retentionDays: 30 });
    await until('the rest is done', async () => {
      const left = await store.admin.query(`SELECT count(*)::int AS n FROM ops.workers WHERE host = 'gone'`);
      return left.rows[0].n === 0;
    });
    await housekeeping.stop();
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual([expect.stringMatching(/left for later/)]);
    expect(await isThere()).toBe(false);

    await reader.query('COMMIT');
    housekeeping = createHousekeeping({ ops, log, retentionDays: 30 });
    await until('the week is made', isThere);
    await housekeeping.stop();
  } finally {
    reader.release();
    await ops.end();
    await store.close();
  }
});
