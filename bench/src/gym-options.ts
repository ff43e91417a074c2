import { parseArgs } from 'node:util';

export interface GymBenchOptions {
  readonly members: number;
  readonly visits: number;
  readonly rounds: number;
  readonly batchSize: number;
  /** Also once with the seed's (50, 100 ms). */
  readonly defaults: boolean;
}

export const USAGE = `Times the three gym jobs through a real worker against the best single SQL statement for the same effect.
  --members N   members of the one gym (50000)
  --visits N    visits in 180 days, about (2000000)
  --rounds N    interleaved rounds, medians are shown (3)
  --batch N     items a batch, without delay (2000)
  --defaults    also one round with batches of 50 and 100 ms between them (takes minutes)`;

/** Errors: a sentence naming the flag. */
export function readOptions(args: readonly string[]): GymBenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      members: { type: 'string', default: '50000' },
      visits: { type: 'string', default: '2000000' },
      rounds: { type: 'string', default: '3' },
      batch: { type: 'string', default: '2000' },
      defaults: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    members: count('members', values.members),
    visits: count('visits', values.visits),
    rounds: count('rounds', values.rounds),
    batchSize: count('batch', values.batch),
    defaults: values.defaults,
  };
}

function count(flag: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new RangeError(`--${flag} must be a whole number of at least 1, got '${value}'`);
  return number;
}
