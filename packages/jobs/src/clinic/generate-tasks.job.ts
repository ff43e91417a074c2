import { TASK_TYPES } from '@nightshift/db/clinic';
import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { lockedClientFacts } from './client-rows.ts';
import { clientPages, readFacility } from './facility.ts';
import { planTasks } from './plan-tasks.ts';
import { existingTasks, saveTasks } from './save-tasks.ts';
import { type TaskType, wantedTasks } from './wanted-tasks.ts';

/** Key in the run's tally: what `nightshift_tasks_generated_total{type}` counts. */
const generated = (type: TaskType) => `task:${type}`;

export const generateTasks = defineJob({
  kind: 'sweep',
  name: 'clinic.generate-tasks',
  title: 'Generate tasks',
  description:
    'Makes the tasks that active clients need: review of those lost to follow-up, labs, viral load, refills of ARV and PrEP.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: { cron: '0 3 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  ...clientPages('active'),
  async process(ctx, clients) {
    const facility = await readFacility(ctx);
    const facts = await lockedClientFacts(
      ctx.client,
      facility,
      clients.map(({ id }) => id),
    );
    const wishes = facts.map((client) => ({ id: client.id, wanted: wantedTasks(client, facility, facility.today) }));
    const existing = await existingTasks(ctx.client, facility.id, wishes);
    const plans = wishes.map(({ id, wanted }) => ({ id, ...planTasks(wanted, existing.get(id) ?? []) }));
    const { created, reopened, closed } = await saveTasks(ctx.client, facility.id, plans, ctx.now);
    const tally: Record<string, number> = { created: created.length, reopened, closed };
    for (const type of created) tally[generated(type)] = (tally[generated(type)] ?? 0) + 1;
    return { changed: created.length + reopened + closed, tally };
  },
  summarize: ({ processed, tally }) => ({
    clientsProcessed: processed,
    tasksCreated: tally.created ?? 0,
    tasksGenerated: Object.fromEntries(TASK_TYPES.map((type) => [type, tally[generated(type)] ?? 0])),
    tasksReopened: tally.reopened ?? 0,
    tasksClosed: tally.closed ?? 0,
  }),
});
