import { parseArgs } from 'node:util';
import { MEASURES } from './measures/index.ts';
import { SYSTEM_NAMES, type SystemName } from './system.ts';

export interface PeersOptions {
  readonly rounds: number;
  /** Names of measures. */
  readonly only: readonly string[];
  readonly systems: readonly SystemName[];
  readonly quick: boolean;
  /** File for every figure of every round, or null. */
  readonly json: string | null;
  /** Write docs/benchmarks.md. */
  readonly write: boolean;
  /** Directory for CPU profiles of every process, or null. */
  readonly profile: string | null;
}

export const USAGE = `Compares Nightshift with BullMQ (Redis and Postgres), pg-boss and graphile-worker: servers of its own, interleaved rounds, medians.
  --rounds N        rounds (3)
  --only a,b        measures: ${MEASURES.map((measure) => measure.name).join(', ')}
  --systems a,b     systems: ${SYSTEM_NAMES.join(', ')}
  --quick           small sizes and one round: to see that it works
  --json FILE       every figure of every round
  --write           write the table into docs/benchmarks.md
  --profile DIR     CPU profiles of all processes (they cost some of the speed)`;

/** Errors: a sentence naming the flag, the value and what would work. */
export function readOptions(args: readonly string[]): PeersOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      only: { type: 'string' },
      systems: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    rounds: count(values.rounds ?? (values.quick ? '1' : '3')),
    only: list(
      'only',
      values.only,
      MEASURES.map((measure) => measure.name),
    ),
    systems: list('systems', values.systems, SYSTEM_NAMES),
    quick: values.quick,
    json: values.json ?? null,
    write: values.write,
    profile: values.profile ?? null,
  };
}

function count(value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new RangeError(`--rounds must be a whole number of at least 1, got '${value}'`);
  return number;
}

/** Default: all of them. */
function list<Name extends string>(flag: string, value: string | undefined, known: readonly Name[]): readonly Name[] {
  if (value === undefined) return known;
  return value.split(',').map((word) => {
    const found = known.find((name) => name === word.trim());
    if (found === undefined) throw new RangeError(`--${flag} takes ${known.join(', ')}; got '${word}'`);
    return found;
  });
}
