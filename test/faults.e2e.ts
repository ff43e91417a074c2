import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { judge } from '../bench/src/faults/judge.ts';
import { startLoad } from '../bench/src/faults/load.ts';
import { runFault } from '../bench/src/faults/run-fault.ts';
import { GATE_FAULTS } from '../bench/src/faults/scenarios.ts';
import { type Fleet, startFleet, until } from '../bench/src/fleet/index.ts';

const LOAD = { canaries: 250, inFlight: 8 };

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ apis: 2, workers: 3, gyms: { count: 2, members: 500 } });
});

afterAll(() => fleet?.close());

describe('under load, every acknowledged run ends once, and every member is scored once a sweep', () => {
  test.each(GATE_FAULTS.map((fault) => [fault.name, fault] as const))('%s', async (_name, fault) => {
    const report = await runFault(fleet, fault, LOAD);
    const { accepted, completed, failed, lost, doubledRuns, duplicateEffects, missingEffects, open } = report;
    expect({ failed, lost, doubledRuns, duplicateEffects, missingEffects, open }).toEqual({
      failed: 0,
      lost: 0,
      doubledRuns: 0,
      duplicateEffects: 0,
      missingEffects: 0,
      open: 0,
    });
    expect(completed).toBe(accepted);
    expect(accepted).toBeGreaterThanOrEqual(LOAD.canaries + fleet.gyms.length);
  });
});

describe('the judge, which would pass everything if it were blind', () => {
  test('sees a run that vanished, an end too many and a member scored twice', async () => {
    await fleet.effects.reset();
    const load = await startLoad(fleet, { canaries: 10, inFlight: 2 });
    await load.sent;
    await until('every run to end', async () => (await fleet.admin.rows('SELECT 1 FROM ops.open_runs')).length === 0);
    expect(await judge(fleet, load)).toMatchObject({ accepted: 12, lost: 0, doubledRuns: 0, duplicateEffects: 0 });

    const [lost, doubled] = [...load.ledger.acknowledged.values()];
    await fleet.admin.rows('DELETE FROM sink.ended WHERE run_id = $1', [lost]);
    await fleet.admin.rows('INSERT INTO sink.ended (run_id) VALUES ($1)', [doubled]);
    await fleet.admin.rows('INSERT INTO sink.scored SELECT * FROM sink.scored ORDER BY member_id LIMIT 3');
    await fleet.admin.rows(
      'DELETE FROM sink.scored WHERE ctid = (SELECT ctid FROM sink.scored ORDER BY member_id DESC LIMIT 1)',
    );
    expect(await judge(fleet, load)).toMatchObject({ lost: 1, doubledRuns: 1, duplicateEffects: 3, missingEffects: 1 });
  });
});
