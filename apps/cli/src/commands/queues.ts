import { listPauses, listQueues, PAUSE_KINDS, type PauseKind, type QueueView } from '@nightshift/engine/accept';
import { Argument, type Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { time } from '../run-text.ts';
import { findTenant } from '../tenants.ts';
import { count, seconds, table } from '../terminal.ts';

interface Flags {
  reason?: string;
  json?: boolean;
}

/** `queues`, `pauses`, `pause` and `resume`. */
export function queuesCommand(program: Command, cli: Cli): void {
  cli.run(program.command('queues').description('what waits, what is in hand, what is paused'), (flags: Flags) =>
    cli.withProducer(async ({ pools, catalogue }) => {
      cli.print(flags, await listQueues(pools, catalogue), queuesTable);
      return EXIT.ok;
    }),
  );
  cli.run(program.command('pauses').description('everything that is paused'), (flags: Flags) =>
    cli.withProducer(async ({ pools }) => {
      cli.print(flags, await listPauses(pools), (pauses) =>
        pauses.length === 0
          ? 'Nothing is paused.'
          : table(
              ['what', 'name', 'by', 'since', 'reason'],
              pauses.map((one) => [one.kind, one.key, one.by, time(one.at), one.reason ?? '']),
            ),
      );
      return EXIT.ok;
    }),
  );
  const pause = program
    .command('pause')
    .description('start no more runs of a queue, a job or a tenant; nothing is lost, what runs goes on')
    .addArgument(new Argument('<kind>').choices(PAUSE_KINDS))
    .argument('<name>', 'of the queue or job; slug, id or system/slug of the tenant')
    .option('--reason <text>', 'told to whoever asks');
  cli.run(pause, (kind: PauseKind, name: string, flags: Flags) =>
    cli.withProducer(async (producer) => {
      const key = kind === 'tenant' ? (await findTenant(producer, name)).id : name;
      const made = await producer.pause(kind, key, cli.actor, flags.reason);
      const why = made.reason === null ? '' : `: ${made.reason}`;
      cli.print(flags, made, () => `The ${kind} ${name} is paused by ${made.by} since ${time(made.at)}${why}.`);
      return EXIT.ok;
    }),
  );
  const resume = program
    .command('resume')
    .description('start runs of a paused queue, job or tenant again')
    .addArgument(new Argument('<kind>').choices(PAUSE_KINDS))
    .argument('<name>', 'of the queue or job; slug, id or system/slug of the tenant');
  cli.run(resume, (kind: PauseKind, name: string, flags: Flags) =>
    cli.withProducer(async (producer) => {
      const key = kind === 'tenant' ? (await findTenant(producer, name)).id : name;
      const resumed = await producer.resume(kind, key, cli.actor);
      cli.print(flags, { resumed }, () =>
        resumed ? `The ${kind} ${name} starts runs again.` : `The ${kind} ${name} was not paused.`,
      );
      return EXIT.ok;
    }),
  );
}

function queuesTable(queues: readonly QueueView[]): string {
  return table(
    ['queue', 'waiting', 'oldest', 'later', 'in hand', 'slots', 'state', 'probe'],
    queues.map((one) => [
      one.queue,
      count(one.waiting),
      one.waiting === 0 ? '' : seconds(one.oldestWaitingSeconds * 1000),
      count(one.scheduled + one.blocked),
      count(one.dispatched + one.running),
      String(one.slots),
      stateText(one),
      probeText(one),
    ]),
    ['waiting', 'oldest', 'later', 'in hand', 'slots'],
  );
}

function stateText(queue: QueueView): string {
  if (queue.paused !== null) return `paused by ${queue.paused.by}`;
  return queue.workers === 0 ? 'no worker' : 'on';
}

function probeText({ probe }: QueueView): string {
  if (probe === null) return '';
  const took = seconds(probe.seconds * 1000);
  return probe.answeredAt === null ? `no answer for ${took}` : `${took}, ${time(probe.answeredAt)}`;
}
