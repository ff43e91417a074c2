import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { inTransaction } from '../tenant.ts';

const FACILITY = '5a0c0000-0000-4000-8000-000000000001';
let database: TestDatabase;
let clients = 0;

beforeAll(async () => {
  database = await cloneTestDatabase();
  await database.admin.query(
    `INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'clinic', 'one', 'One', 'Pacific/Kiritimati')`,
    [FACILITY],
  );
  await database.admin.query(`INSERT INTO clinic.facilities (tenant_id, opened_on) VALUES ($1, '2000-01-01')`, [
    FACILITY,
  ]);
});
afterAll(() => database.drop());

/** As a serving process does it: ns_app, for the facility in hand. */
const query = (sql: string, values: unknown[] = [], actor?: string) =>
  inTransaction(database.app, [FACILITY], async (client) => {
    if (actor !== undefined) await client.query(`SELECT set_config('app.actor', $1, true)`, [actor]);
    return (await client.query(sql, values)).rows;
  });
async function newClient(): Promise<string> {
  const [made] = await query(
    `INSERT INTO clinic.clients (tenant_id, number, registered_on) VALUES ($1, $2, '2025-01-01') RETURNING id`,
    [FACILITY, `K${++clients}`],
  );
  return made.id;
}
const encounter = async (client: string, at: string): Promise<string> =>
  (
    await query('INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at) VALUES ($1, $2, $3) RETURNING id', [
      FACILITY,
      client,
      at,
    ])
  )[0].id;
const dispense = async (client: string, at: string, kind = 'ARV', days = 30): Promise<string> =>
  (
    await query(
      'INSERT INTO clinic.dispenses (tenant_id, client_id, kind, dispensed_at, days_supplied) VALUES ($1, $2, $3, $4, $5) RETURNING id',
      [FACILITY, client, kind, at, days],
    )
  )[0].id;
const result = (client: string, test: string, drawnOn: string, value: number | null) =>
  query(
    `INSERT INTO clinic.lab_results (tenant_id, client_id, test, drawn_on, resulted_on, comparator, value)
     VALUES ($1, $2, $3, $4::date, CASE WHEN $5::int IS NOT NULL THEN $4::date END, CASE WHEN $5::int IS NOT NULL THEN '=' END, $5)`,
    [FACILITY, client, test, drawnOn, value],
  );
const task = (client: string, type: string, dueOn: string, rule: string | null = null, source = 'system') =>
  query(`INSERT INTO clinic.tasks (tenant_id, client_id, type, due_on, rule, source) VALUES ($1, $2, $3, $4, $5, $6)`, [
    FACILITY,
    client,
    type,
    dueOn,
    rule,
    source,
  ]);
const tasks = async (client: string) =>
  (
    await query(
      'SELECT type, status, close_reason AS reason FROM clinic.tasks WHERE client_id = $1 ORDER BY type, due_on',
      [client],
    )
  ).map(({ type, status, reason }) => [type, status, reason]);
const lastVisit = async (client: string): Promise<string | null> =>
  (await query('SELECT last_visit_at FROM clinic.clients WHERE id = $1', [client]))[0].last_visit_at?.toISOString() ??
  null;

describe('clients.last_visit_at', () => {
  test('is the later of encounters and dispenses; correcting, moving or deleting one recomputes it', async () => {
    const [one, two] = [await newClient(), await newClient()];
    expect(await lastVisit(one)).toBeNull();
    const first = await encounter(one, '2026-03-01T10:00:00Z');
    const second = await dispense(one, '2026-05-01T10:00:00Z');
    await encounter(one, '2026-01-01T10:00:00Z');
    expect(await lastVisit(one)).toBe('2026-05-01T10:00:00.000Z');
    await query(`UPDATE clinic.dispenses SET dispensed_at = '2026-02-01T10:00:00Z' WHERE id = $1`, [second]);
    expect(await lastVisit(one)).toBe('2026-03-01T10:00:00.000Z');
    await query('UPDATE clinic.encounters SET client_id = $2 WHERE id = $1', [first, two]);
    expect([await lastVisit(one), await lastVisit(two)]).toEqual([
      '2026-02-01T10:00:00.000Z',
      '2026-03-01T10:00:00.000Z',
    ]);
    await query('DELETE FROM clinic.encounters WHERE client_id = $1', [two]);
    expect(await lastVisit(two)).toBeNull();
  });

  test('many rows of many clients in one statement', async () => {
    const made = [await newClient(), await newClient(), await newClient()];
    await query(
      `INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at)
       SELECT $1, c, timestamptz '2026-01-01Z' + make_interval(days => (n * 10)::int) FROM unnest($2::uuid[]) WITH ORDINALITY AS u(c, n), generate_series(1, 50)`,
      [FACILITY, made],
    );
    expect(await Promise.all(made.map(lastVisit))).toEqual(
      ['11', '21', '31'].map((day) => `2026-01-${day}T00:00:00.000Z`),
    );
  });

  test.each([
    ['encounters', 'occurred_at', (client: string) => encounter(client, new Date(Date.now() + 60_000).toISOString())],
    ['dispenses', 'dispensed_at', (client: string) => dispense(client, new Date(Date.now() + 60_000).toISOString())],
  ])('a date in the future is rejected in %s, also by a correction', async (table, column, insert) => {
    const client = await newClient();
    await expect(insert(client)).rejects.toThrow('date in the future');
    await (table === 'encounters' ? encounter : dispense)(client, '2026-01-01T00:00:00Z');
    await expect(
      query(`UPDATE clinic.${table} SET ${column} = now() + interval '1 day' WHERE client_id = $1`, [client]),
    ).rejects.toMatchObject({ code: '23514', constraint: `${table}_not_in_future` });
    expect(await lastVisit(client)).toBe('2026-01-01T00:00:00.000Z');
  });

  test('a sample’s day is the facility’s: its own today is no future, its tomorrow is', async () => {
    const client = await newClient();
    const [day] = await query(
      `SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date::text AS today, ((now() AT TIME ZONE 'Pacific/Kiritimati')::date + 1)::text AS tomorrow`,
    );
    await result(client, 'CD4', day.today, 400);
    await expect(result(client, 'CD4', day.tomorrow, 400)).rejects.toThrow('date in the future');
  });

  test('the next refill is the day the supply ends on the facility’s calendar, where none is given', async () => {
    const client = await newClient();
    // 11:00 UTC is the next day in Kiritimati (UTC+14).
    const id = await dispense(client, '2026-01-31T11:00:00Z', 'ARV', 28);
    expect(await query('SELECT next_refill_on::text AS next FROM clinic.dispenses WHERE id = $1', [id])).toEqual([
      { next: '2026-03-01' },
    ]);
  });
});

describe('tasks', () => {
  test('a visit later than the last one completes the review; one entered late for earlier does not', async () => {
    const client = await newClient();
    await encounter(client, '2026-03-01T10:00:00Z');
    await task(client, 'LTFU_REVIEW', '2026-06-01');
    await encounter(client, '2026-02-01T10:00:00Z');
    expect(await tasks(client)).toEqual([['LTFU_REVIEW', 'open', null]]);
    await dispense(client, '2026-06-10T10:00:00Z');
    expect(await tasks(client)).toEqual([['LTFU_REVIEW', 'completed', 'visit']]);
  });

  test('a dispense completes the refill of its kind, if it moves the refill on', async () => {
    const client = await newClient();
    await task(client, 'REFILL_ARV', '2026-06-01');
    await task(client, 'REFILL_PREP', '2026-06-01');
    await dispense(client, '2026-04-01T10:00:00Z', 'ARV', 30);
    expect(await tasks(client)).toEqual([
      ['REFILL_ARV', 'open', null],
      ['REFILL_PREP', 'open', null],
    ]);
    await dispense(client, '2026-05-28T10:00:00Z', 'ARV', 30);
    expect(await tasks(client)).toEqual([
      ['REFILL_ARV', 'completed', 'dispense'],
      ['REFILL_PREP', 'open', null],
    ]);
  });

  test('a viral load result completes what asks for one; a sample alone, or a CD4, does not', async () => {
    const client = await newClient();
    await task(client, 'LABS_PENDING', '2026-06-01', 'vl_due');
    await task(client, 'VL_MONITOR', '2026-09-01', 'vl_due');
    await result(client, 'VL', '2026-06-10', null);
    await result(client, 'CD4', '2026-06-10', 400);
    expect((await tasks(client)).map(([, status]) => status)).toEqual(['open', 'open']);
    await query(
      `UPDATE clinic.lab_results SET resulted_on = '2026-06-12', comparator = 'TND' WHERE client_id = $1 AND test = 'VL'`,
      [client],
    );
    expect(await tasks(client)).toEqual([
      ['LABS_PENDING', 'completed', 'result'],
      ['VL_MONITOR', 'completed', 'result'],
    ]);
    const other = await newClient();
    await task(other, 'LABS_PENDING', '2026-06-01', 'baseline_cd4');
    await result(other, 'VL', '2026-06-10', 40);
    expect(await tasks(other)).toEqual([['LABS_PENDING', 'open', null]]);
    await result(other, 'CD4', '2026-06-10', 400);
    expect(await tasks(other)).toEqual([['LABS_PENDING', 'completed', 'result']]);
  });

  test.each(['died', 'transferred', 'stopped'])('a client who %s has no open task of the system', async (status) => {
    const client = await newClient();
    await task(client, 'LTFU_REVIEW', '2026-06-01');
    await task(client, 'REFILL_ARV', '2026-06-01');
    await task(client, 'OTHER', '2026-06-01', null, 'person');
    await query('UPDATE clinic.clients SET status = $2 WHERE id = $1', [client, status]);
    expect(await tasks(client)).toEqual([
      ['LTFU_REVIEW', 'cancelled', 'left'],
      ['OTHER', 'open', null],
      ['REFILL_ARV', 'cancelled', 'left'],
    ]);
  });

  test('what a person closes says by whom; one of a type may be open, and an identity is there once', async () => {
    const client = await newClient();
    await task(client, 'REFILL_ARV', '2026-06-01');
    await expect(task(client, 'REFILL_ARV', '2026-07-01')).rejects.toThrow('tasks_one_open');
    await query(`UPDATE clinic.tasks SET status = 'completed' WHERE client_id = $1`, [client], 'user:nurse-7');
    const [closed] = await query(
      'SELECT closed_by, close_reason, closed_at IS NOT NULL AS at FROM clinic.tasks WHERE client_id = $1',
      [client],
    );
    expect(closed).toEqual({ closed_by: 'user:nurse-7', close_reason: 'hand', at: true });
    await expect(task(client, 'REFILL_ARV', '2026-06-01')).rejects.toThrow('tasks_identity');
  });
});

test('each change of clinical data leaves an audit row: table, row, operation, columns, actor; no value', async () => {
  const client = await newClient();
  const visit = await encounter(client, '2026-03-01T10:00:00Z');
  await query(
    `UPDATE clinic.clients SET status = 'stopped', key_population = 'msm' WHERE id = $1`,
    [client],
    'user:doctor',
  );
  await query('UPDATE clinic.clients SET status = status WHERE id = $1', [client]);
  await query('DELETE FROM clinic.encounters WHERE id = $1', [visit], 'user:doctor');
  const found = await query(
    'SELECT table_name, row_id, operation, columns, actor FROM clinic.data_audit WHERE row_id = ANY ($1) ORDER BY id',
    [[client, visit]],
  );
  const own = expect.stringMatching(/^db:/);
  expect(found).toEqual([
    { table_name: 'clients', row_id: client, operation: 'INSERT', columns: null, actor: own },
    { table_name: 'encounters', row_id: visit, operation: 'INSERT', columns: null, actor: own },
    {
      table_name: 'clients',
      row_id: client,
      operation: 'UPDATE',
      columns: ['key_population', 'status'],
      actor: 'user:doctor',
    },
    { table_name: 'encounters', row_id: visit, operation: 'DELETE', columns: null, actor: 'user:doctor' },
  ]);
});
