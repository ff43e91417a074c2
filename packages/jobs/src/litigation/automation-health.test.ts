import fc from 'fast-check';
import { expect, test } from 'vitest';
import { healthOf, type RuleActivity } from './automation-health.ts';

const rule = (name: string, succeeded: number, failed: number, silentHours = 1): RuleActivity => ({
  id: `id-${name}`, name, succeeded, failed, silentHours,
}); // biome-ignore format: one line a rule

test('exactly 20 % failed is not degraded, one more is; and each alert has its severity', () => {
  expect(healthOf([rule('edge', 80, 20)]).metrics.degraded_rules).toEqual([]);
  expect(healthOf([rule('bad', 79, 21), rule('good', 500, 0)])).toEqual({
    metrics: {
      total_executions: 600,
      successful_executions: 579,
      failed_executions: 21,
      success_rate: 0.965,
      inactive_rules: [],
      degraded_rules: [{ rule_id: 'id-bad', rule_name: 'bad', failure_rate: 0.21 }],
    },
    alerts: [{ severity: 'CRITICAL', ruleId: 'id-bad', message: expect.stringContaining('21 of 100') }],
  });
});

test('silent for 48 h is not inactive, longer is', () => {
  const health = healthOf([rule('edge', 0, 0, 48), rule('silent', 0, 0, 48.01)]);
  expect(health.metrics.inactive_rules).toEqual(['silent']);
  expect(health.alerts).toMatchObject([{ severity: 'WARNING', ruleId: 'id-silent' }]);
});

test('overall below 95 % is worth a note, 95 % is not; nothing executed is no failure', () => {
  expect(healthOf([rule('a', 95, 5)]).alerts).toEqual([]);
  expect(healthOf([rule('a', 94, 6)]).alerts).toMatchObject([{ severity: 'INFO', ruleId: null }]);
  expect(healthOf([]).metrics).toMatchObject({ total_executions: 0, success_rate: 1 });
});

test('counts add up', () => {
  const activity = fc.record({
    id: fc.uuid(), name: fc.string(), succeeded: fc.nat(1_000), failed: fc.nat(1_000), silentHours: fc.double({ min: 0, max: 1_000, noNaN: true }),
  }); // biome-ignore format: one line
  fc.assert(
    fc.property(fc.array(activity), (rules) => {
      const { metrics } = healthOf(rules);
      expect(metrics.successful_executions + metrics.failed_executions).toBe(metrics.total_executions);
      expect(metrics.success_rate).toBeGreaterThanOrEqual(0);
      expect(metrics.success_rate).toBeLessThanOrEqual(1);
    }),
  );
});
