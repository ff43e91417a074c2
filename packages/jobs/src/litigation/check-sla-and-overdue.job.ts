import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { phased } from './phases.ts';
import { MESSAGES_A_RUN } from './plan-rules.ts';
import { taskFindings } from './task-findings.ts';
import { waitingEvents } from './waiting-events.ts';

export const checkSlaAndOverdue = defineJob({
  kind: 'sweep',
  name: 'litigation.check-sla-and-overdue',
  title: 'SLA and overdue check',
  description: 'Flags tasks past due or past their SLA threshold, once each, and runs the automation rules that match.',
  scope: 'tenant',
  priority: 'CRITICAL',
  schedule: { cron: '*/15 * * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 15_000,
  input: z.strictObject({}),
  inputVersion: 1,
  // 10,000 tasks must fit into 15 s (SPEC 3): batches of 50 with 100 ms between them would take 20 s of waiting alone.
  options: { batchSize: 1_000, batchDelayMs: 0 },
  decrypts: true,
  maxNotifications: MESSAGES_A_RUN,
  ...phased<unknown>([taskFindings, waitingEvents({})]),
  summarize: ({ tally }) => ({
    overdueTasks: tally.overdueTasks ?? 0,
    slaViolations: tally.slaViolations ?? 0,
    rulesTriggered: tally.rulesTriggered ?? 0,
    tasksGenerated: tally['task:automation'] ?? 0,
    messages: tally.messages ?? 0,
  }),
});
