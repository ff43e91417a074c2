import type { Producer, ScheduleView } from '@nightshift/engine/accept';
import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { pickSchedule, readSchedules } from '../pick-schedule.ts';
import { time } from '../run-text.ts';
import { table } from '../terminal.ts';
import { schedulePlanCommands } from './schedule-plans.ts';

interface Flags {
  json?: boolean;
}

export function schedulesCommand(program: Command, cli: Cli): void {
  const schedules = program.command('schedules').description('list the schedules');
  cli.run(schedules, (flags: Flags) =>
    cli.withProducer(async (producer) => {
      cli.print(flags, await readSchedules(producer), schedulesTable);
      return EXIT.ok;
    }),
  );
  act(schedules, cli, 'pause', 'stop a schedule from starting runs', async (producer, schedule) => {
    await producer.pauseSchedule(schedule.id, cli.actor);
    return `${schedule.job} is paused; ticks that pass meanwhile are recorded as skipped.`;
  });
  act(schedules, cli, 'resume', 'let a paused schedule start runs again', async (producer, schedule) => {
    await producer.resumeSchedule(schedule.id, cli.actor);
    return `${schedule.job} starts runs again.`;
  });
  act(schedules, cli, 'trigger', 'start its runs now, without consuming a tick', async (producer, schedule) => {
    const { job, id: scheduleId, options } = schedule;
    const served = await producer.schedules.servedBy(scheduleId);
    const tenants = producer.catalogue.get(job).scope === 'system' ? undefined : served.map((tenant) => tenant.id);
    const priority = schedule.priority ?? undefined;
    const started = await producer.start({ kind: 'manual', job, scheduleId, options, priority, tenants }, cli.actor);
    return started.runs
      .map((run) => `${run.runId} ${run.tenant}${run.joined ? ' (joined an open run)' : ''}`)
      .join('\n');
  });
  schedulePlanCommands(schedules, cli);
}

type Act = (producer: Producer, schedule: ScheduleView) => Promise<string>;

function act(schedules: Command, cli: Cli, name: string, description: string, work: Act): void {
  const command = schedules
    .command(name)
    .description(description)
    .argument('<schedule>', 'its id, or the name of its job');
  cli.run(command, (idOrJob: string, flags: Flags) =>
    cli.withProducer(async (producer) => {
      const schedule = pickSchedule(await readSchedules(producer), idOrJob);
      const said = await work(producer, schedule);
      const after = (await readSchedules(producer)).find((each) => each.id === schedule.id);
      cli.print(flags, after, () => said);
      return EXIT.ok;
    }),
  );
}

function schedulesTable(schedules: readonly ScheduleView[]): string {
  if (schedules.length === 0) return 'No schedules yet: a worker declares them at its start.';
  return table(
    ['schedule', 'job', 'of', 'cron', 'zone', 'state', 'next', 'last'],
    schedules.map((schedule) => [
      schedule.id,
      schedule.job,
      schedule.ownerTenant ?? 'all',
      schedule.cron,
      schedule.zone,
      schedule.paused !== null ? `paused by ${schedule.paused.by}` : schedule.enabled ? 'on' : 'off',
      time(schedule.nextDueAt),
      time(schedule.lastDueAt),
    ]),
  );
}
