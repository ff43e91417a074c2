import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { approachingDeadlines } from './approaching.ts';
import { deadlineDigests, digestsOf } from './deadline-digests.ts';
import { phased } from './phases.ts';
import { MESSAGES_A_RUN } from './plan-rules.ts';
import { waitingEvents } from './waiting-events.ts';

export const checkUpcomingDeadlines = defineJob({
  kind: 'sweep',
  name: 'litigation.check-upcoming-deadlines',
  title: 'Upcoming deadlines',
  description: 'Tells each user once a day what is due in 24 hours, and runs the automation rules that match.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: { cron: '0 9 * * *', zone: 'tenant', misfire: { policy: 'latest', within: 'same-day' }, overlap: 'skip' },
  typicalMs: 8_000,
  maxMs: 20_000,
  /** `after`: the last user that the run before wrote to, for a follow-up run. */
  input: z.strictObject({ after: z.uuid().optional() }),
  inputVersion: 1,
  options: { batchSize: 200 },
  decrypts: true,
  maxNotifications: MESSAGES_A_RUN,
  ...phased<{ after?: string | undefined }>([approachingDeadlines, deadlineDigests, waitingEvents({}, digestsOf)]),
  summarize: ({ tally }) => ({
    tasksDue: tally.tasks ?? 0,
    hearingsDue: tally.hearings ?? 0,
    usersNotified: tally.digests ?? 0,
    rulesTriggered: tally.rulesTriggered ?? 0,
    tasksGenerated: tally['task:automation'] ?? 0,
    messages: (tally.digests ?? 0) + (tally.messages ?? 0),
  }),
});
