import { createHash } from 'node:crypto';
import { PRIORITIES, type Priority, type RunOptions, runOptionsSchema } from '@nightshift/engine';
import { type AcceptRequest, findRun, type Producer } from '@nightshift/engine/accept';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Cli, EXIT, type ExitCode } from '../cli-context.ts';
import { runText } from '../run-text.ts';

interface Flags {
  tenant?: string;
  input: unknown;
  priority?: Priority;
  dryRun?: boolean;
  batchSize?: number;
  batchDelay?: number;
  timeout?: number;
  retries?: number;
  wait?: true | number;
  idempotencyKey?: string;
  json?: boolean;
}

/** Longest wait of a bare `--wait`, s. */
const WAIT_SECONDS = 3_600;

export function runCommand(program: Command, cli: Cli): void {
  const command = program
    .command('run')
    .description('start one run of a job')
    .argument('<job>', 'name of the job, such as gym.commitment-scores')
    .option('--tenant <tenant>', 'slug or id; not needed by jobs of the platform')
    .option('--input <json>', 'input of the run', parseJson, {})
    .addOption(new Option('--priority <priority>', 'instead of the priority of the job').choices(PRIORITIES))
    .option('--dry-run', 'do the work, tell what would change, roll it back')
    .option('--batch-size <items>', 'items a batch', parseOption('batchSize'))
    .option('--batch-delay <ms>', 'pause between batches', parseOption('batchDelayMs'))
    .option('--timeout <ms>', 'longest attempt', parseOption('timeoutMs'))
    .option(
      '--retries <count>',
      'after the first attempt, instead of what the job says; 0: none',
      parseOption('retries'),
    )
    .option('--wait [seconds]', 'wait for the end; the exit code then tells how the run ended', parseWhole)
    .option('--idempotency-key <key>', 'the same key and request give the same run, for 48 hours');
  cli.run(command, (job: string, flags: Flags) => cli.withProducer((producer) => startRun(cli, producer, job, flags)));
}

async function startRun(cli: Cli, producer: Producer, job: string, flags: Flags): Promise<ExitCode> {
  const accepted = await producer.accept(request(cli, job, flags), cli.actor);
  if (flags.wait === undefined) {
    cli.print(
      flags,
      accepted,
      () => `${accepted.id} ${accepted.status}${accepted.joined ? ' (joined an open run)' : ''}`,
    );
    return EXIT.ok;
  }
  cli.tell(`${accepted.id} ${accepted.status}${accepted.joined ? ', joined an open run' : ''}; waiting`);
  const timeoutMs = (flags.wait === true ? WAIT_SECONDS : flags.wait) * 1000;
  const ended = await producer.waitFor([accepted.id], { timeoutMs, signal: cli.signal });
  const run = await findRun(producer.pools, accepted.id, null, producer.crypto);
  cli.print(flags, run, runText);
  if (!ended.has(accepted.id)) cli.tell(`The run is still ${run.status}; nightshift runs show ${run.id} tells more.`);
  return run.status === 'completed' || run.status === 'completed_with_item_errors' ? EXIT.ok : EXIT.failed;
}

function request(cli: Cli, job: string, flags: Flags): AcceptRequest {
  const options: Partial<RunOptions> = {
    ...(flags.dryRun ? { dryRun: true } : {}),
    ...(flags.batchSize === undefined ? {} : { batchSize: flags.batchSize }),
    ...(flags.batchDelay === undefined ? {} : { batchDelayMs: flags.batchDelay }),
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
    ...(flags.retries === undefined ? {} : { retries: flags.retries }),
  };
  const body = {
    job,
    tenant: flags.tenant ?? null,
    input: flags.input,
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
  if (flags.idempotencyKey === undefined) return body;
  const bodySha256 = createHash('sha256').update(JSON.stringify(body)).digest();
  return { ...body, idempotency: { key: flags.idempotencyKey, principal: cli.actor, bodySha256 } };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidArgumentError(`It must be JSON, such as '{"echo": "hello"}': ${(error as Error).message}`);
  }
}

function parseWhole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** The same limits as over HTTP: a batch of no items would end as completed with nothing done. */
function parseOption(name: 'batchSize' | 'batchDelayMs' | 'timeoutMs' | 'retries'): (text: string) => number {
  return (text) => {
    const value = parseWhole(text);
    const parsed = runOptionsSchema.shape[name].safeParse(value);
    if (!parsed.success) throw new InvalidArgumentError(`${parsed.error.issues[0]?.message}.`);
    return value;
  };
}
