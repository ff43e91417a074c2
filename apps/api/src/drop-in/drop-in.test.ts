import type { RunDetail } from '@nightshift/engine/accept';
import { expect, test } from 'vitest';
import { summed } from './drop-in.ts';

const dropIn = { job: 'gym.x', sums: { membersProcessed: 'processed', membersUpdated: 'changed' } } as const;
const started = {
  triggerId: 't',
  runs: ['a', 'b'].map((tenant) => ({ tenantId: tenant, tenant, runId: `run-${tenant}`, joined: false })),
};

function run(tenant: string, more: Partial<RunDetail>): RunDetail {
  const base = {
    id: `run-${tenant}`,
    status: 'completed',
    result: { membersProcessed: 10, membersUpdated: 4, duration: 99 },
    processed: 10,
    changed: 4,
    failedItems: 0,
    errorMessage: null,
    acceptedAt: new Date(0),
    startedAt: new Date(1_000),
    endedAt: new Date(3_000),
  };
  return { ...base, ...more } as RunDetail;
}

test('counts are summed over tenants, the duration spans them', () => {
  const runs = [run('a', {}), run('b', { startedAt: new Date(2_000), endedAt: new Date(4_500) })];
  expect(summed(dropIn, started, runs, [])).toEqual({
    status: 200,
    body: {
      success: true,
      job: 'gym.x',
      membersProcessed: 20,
      membersUpdated: 8,
      errors: [],
      totalErrors: 0,
      duration: 3_500,
      tenants: [
        { tenant: 'a', runId: 'run-a', status: 'completed' },
        { tenant: 'b', runId: 'run-b', status: 'completed' },
      ],
    },
  });
});

test('failed items are listed and leave success true', () => {
  const runs = [run('a', { status: 'completed_with_item_errors', failedItems: 250 }), run('b', {})];
  const failures = Array.from({ length: 100 }, (_, i) => ({ runId: 'run-a', item: `m${i}`, errorMessage: 'broken' }));
  const { status, body } = summed(dropIn, started, runs, failures);
  expect(status).toBe(200);
  expect(body).toMatchObject({ success: true, totalErrors: 250 });
  expect(body.errors).toHaveLength(100);
  expect(body.errors).toContainEqual({ tenant: 'a', item: 'm0', error: 'broken' });
});

test('a failed run is named, counted by its counters, and makes it 500', () => {
  const failed = {
    status: 'failed',
    result: null,
    processed: 3,
    changed: 1,
    failedItems: 2,
    errorMessage: 'all broken',
  } as const;
  const { status, body } = summed(dropIn, started, [run('a', failed), run('b', {})], []);
  expect(status).toBe(500);
  expect(body).toMatchObject({
    success: false,
    membersProcessed: 13,
    membersUpdated: 5,
    totalErrors: 3,
    errors: [{ tenant: 'a', item: null, error: 'all broken' }],
  });
});

test('no tenants: nothing done, and no error', () => {
  expect(summed(dropIn, { triggerId: 't', runs: [] }, [], [])).toMatchObject({
    status: 200,
    body: { success: true, membersProcessed: 0, duration: 0, tenants: [] },
  });
});
