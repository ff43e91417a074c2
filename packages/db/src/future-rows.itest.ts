import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloneTestDatabase, type TestDatabase } from './import/test-database.ts';

// A process whose clock was ahead left rows of a week and a month that have no partition yet.

const AHEAD = `now() + interval '100 days'`;
const WEEK = `to_char((${AHEAD}) AT TIME ZONE 'UTC', 'IYYY"w"IW')`;
const MONTH = `to_char((${AHEAD}) AT TIME ZONE 'UTC', 'YYYY"m"MM')`;

let db: TestDatabase;
const tenant = randomUUID();
beforeAll(async () => {
  db = await cloneTestDatabase();
  await db.admin.query(`INSERT INTO ops.tenants (id, system, slug, name) VALUES ($1, 'tiny', 'a', 'A')`, [tenant]);
  await db.admin.query(
    `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options)
     SELECT ops.uuid7_floor(${AHEAD}), $1, 'tiny.task', 1, 'q', 1, 'completed', 1, now(), now(), 'test', '{}'`,
    [tenant],
  );
  await db.admin.query(
    `INSERT INTO ops.audit_log (at, tenant_id, actor, action) VALUES (${AHEAD}, $1, 'test', 'run.accepted')`,
    [tenant],
  );
});
afterAll(() => db.drop());

const read = async (text: string): Promise<object | undefined> => (await db.admin.query(text)).rows[0];
const lie = `SELECT (SELECT tableoid::regclass::text FROM ops.runs WHERE tenant_id = '${tenant}') AS run,
  (SELECT tableoid::regclass::text FROM ops.audit_log WHERE tenant_id = '${tenant}') AS audit`;
const there = `SELECT to_regclass('ops.runs_' || ${WEEK}) AS runs, to_regclass('ops.payloads_' || ${WEEK})::text AS payloads,
  to_regclass('ops.audit_log_' || ${MONTH}) AS audit, to_regclass('ops.ticks_' || ${MONTH})::text AS ticks`;

describe('rows of the future', () => {
  it('are left where they lie when their time comes, and all other partitions are made', async () => {
    expect(await read(lie)).toEqual({ run: 'ops.runs_default', audit: 'ops.audit_log_default' });
    expect(await read(`SELECT ops.ensure_partitions(${AHEAD}) AS made`)).toEqual({ made: expect.any(Number) });
    const names = await read(`SELECT ${WEEK} AS week, ${MONTH} AS month`);
    const { week, month } = names as { week: string; month: string };
    expect(await read(there)).toEqual({
      runs: null,
      payloads: `ops.payloads_${week}`,
      audit: null,
      ticks: `ops.ticks_${month}`,
    });
    expect(await read(lie)).toEqual({ run: 'ops.runs_default', audit: 'ops.audit_log_default' });
    // The weeks and months behind theirs as well.
    expect(
      await read(
        `SELECT to_regclass('ops.runs_' || to_char((${AHEAD} + interval '7 days') AT TIME ZONE 'UTC', 'IYYY"w"IW')) IS NOT NULL AS runs,
         to_regclass('ops.audit_log_' || to_char(date_trunc('month', (${AHEAD}) AT TIME ZONE 'UTC') + interval '1 month', 'YYYY"m"MM')) IS NOT NULL AS audit`,
      ),
    ).toEqual({ runs: true, audit: true });
  });

  it('do not keep the platform from making what is missing again and again', async () => {
    expect(await read(`SELECT ops.ensure_partitions(${AHEAD}) AS made`)).toEqual({ made: 0 });
  });
});
