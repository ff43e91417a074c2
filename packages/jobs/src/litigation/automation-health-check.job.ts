import { defineJob, localDate, type TaskContext } from '@nightshift/engine';
import { z } from 'zod';
import { addressesOf } from './addresses.ts';
import { type HealthAlert, type HealthMetrics, healthOf, type RuleActivity } from './automation-health.ts';
import { healthAlert } from './templates.ts';

const MESSAGES = 100;

const ACTIVITY = `
SELECT r.id, r.name, (count(l.id) FILTER (WHERE l.status = 'success'))::int AS succeeded, (count(l.id) FILTER (WHERE l.status = 'failed'))::int AS failed,
  (extract(epoch FROM $2::timestamptz - coalesce(
    (SELECT max(last.executed_at) FROM litigation.automation_logs last WHERE last.tenant_id = $1 AND last.rule_id = r.id), r.created_at)) / 3600)::float8 AS "silentHours"
FROM litigation.automation_rules r
LEFT JOIN litigation.automation_logs l ON l.tenant_id = $1 AND l.rule_id = r.id AND l.executed_at > $2::timestamptz - interval '24 hours' AND l.executed_at <= $2
WHERE r.tenant_id = $1 AND r.enabled GROUP BY r.id, r.name, r.created_at ORDER BY r.name`;

const ADMINS = `
SELECT id FROM litigation.users WHERE tenant_id = $1 AND role = 'admin' AND active AND email_enc IS NOT NULL ORDER BY id LIMIT ${MESSAGES}`;

type Transaction = Parameters<Parameters<TaskContext['transaction']>[0]>[0];

export const automationHealthCheck = defineJob({
  kind: 'task',
  name: 'litigation.automation-health-check',
  title: 'Automation health check',
  description:
    'Judges the automation rules by their last 24 hours and alerts admins and operators to failing and silent ones.',
  scope: 'tenant',
  priority: 'MEDIUM',
  schedule: { cron: '0 7 * * *', zone: 'tenant', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 10_000,
  input: z.strictObject({}),
  inputVersion: 1,
  decrypts: true,
  maxNotifications: MESSAGES,
  async run(ctx) {
    const startedAt = performance.now();
    const { metrics, alerts } = await ctx.transaction(async (tx) => {
      const { rows } = await tx.client.query<RuleActivity>(ACTIVITY, [ctx.tenant.id, ctx.now]);
      const health = healthOf(rows);
      if (health.alerts.length > 0) await tellAdmins(ctx, tx, health.metrics, health.alerts);
      return health;
    });
    await tellOperators(ctx, metrics, alerts);
    return { ...metrics, alerts: alerts.length, duration: Math.round(performance.now() - startedAt), errors: [] };
  },
});

/** Conditions of a firm, one a severity: a silent rule, silent for ever perhaps, must not hide that another begins to fail. */
const CONDITIONS = { CRITICAL: 'rules-failing', WARNING: 'rules-silent', INFO: 'success-rate' } as const;

/** What is wrong is an open alert, counted while it lasts and over once it is no more. Names of rules are the firm's and not told. */
async function tellOperators(ctx: TaskContext, metrics: HealthMetrics, alerts: readonly HealthAlert[]): Promise<void> {
  for (const severity of Object.keys(CONDITIONS) as HealthAlert['severity'][]) {
    const key = CONDITIONS[severity];
    const found = alerts.filter((alert) => alert.severity === severity).length;
    if (found === 0) await ctx.resolveAlert(key);
    else await ctx.alert({ key, severity, message: conditionText(severity, found, ctx.tenant.slug, metrics) });
  }
}

function conditionText(severity: HealthAlert['severity'], rules: number, firm: string, metrics: HealthMetrics): string {
  const which = `${rules} automation ${rules === 1 ? 'rule' : 'rules'} of ${firm}`;
  switch (severity) {
    case 'CRITICAL':
      return `${which} failed in more than 20 % of the executions of 24 hours; the run's degraded_rules name them.`;
    case 'WARNING':
      return `${which} not triggered for more than 48 hours; the run's inactive_rules name them.`;
    case 'INFO':
      return `${metrics.successful_executions} of ${metrics.total_executions} executions of automation rules of ${firm} succeeded in 24 hours.`;
    default:
      return severity satisfies never;
  }
}

/** One message an admin and local day; a worse finding on the same day is one more. */
async function tellAdmins(
  ctx: TaskContext,
  tx: Transaction,
  metrics: HealthMetrics,
  alerts: readonly HealthAlert[],
): Promise<void> {
  const { tenant, crypto, now } = ctx;
  const { rows } = await tx.client.query<{ id: string }>(ADMINS, [tenant.id]);
  const ids = rows.map((row) => row.id);
  const addresses = await addressesOf({ client: tx.client, crypto }, tenant.id, 'email', ids);
  const severity = (['CRITICAL', 'WARNING'] as const).find((one) => alerts.some((a) => a.severity === one)) ?? 'INFO';
  const data = {
    firm: tenant.name,
    severity,
    alerts: alerts.map((alert) => ({ severity: alert.severity, message: alert.message })),
    successful: metrics.successful_executions,
    total: metrics.total_executions,
  };
  await tx.notify(
    ids.map((id) => ({
      tenantId: tenant.id,
      dedupeKey: `automation-health:${id}:${localDate(now, tenant.zone)}:${severity}`,
      channel: 'email',
      to: addresses.get(id) ?? '',
      template: healthAlert.name,
      data,
      userKey: id,
    })),
  );
}
