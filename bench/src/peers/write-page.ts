import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url));

/** Writes docs/benchmarks.md. Resolves to its path. */
export function writePage(parts: { machine: readonly string[]; command: string; text: string; date: Date }): string {
  const page = `# Benchmarks

Written by \`${parts.command}\` on ${parts.date.toISOString().slice(0, 10)}; don't edit it by hand.

Every system ran in processes of its own against the same servers, which the benchmark started for itself. In each round all measures
ran one behind the other, and in each of them the systems; the figures are medians of the rounds (in parentheses the least and the most).
Four workers and the one that is compared with them ran directly one behind the other, each round in the other order, and what is found is the
median of the rounds' own ratios.
CPU is of all processes: producer, workers, Redis, Postgres with its backends. Drain rates are of workers at work: a
backlog's first part warms them up (40,000 jobs for one worker, 320,000 for four and for the one that is compared with them) and is not counted, the
rest is, to nothing left in the store. That of many tenants is from the first job begun by a worker that has just started.
Differences below a quarter are noise; what is known of it, and of four workers against one, say decisions
[0020](decisions/0020-a-benchmark-keeps-its-machines-memory.md), [0021](decisions/0021-a-worker-collects-on-its-own-thread.md),
[0022](decisions/0022-a-run-leaves-no-hidden-class.md), [0023](decisions/0023-redis-hears-of-a-lone-run-before-its-commit.md) and
[0024](decisions/0024-one-process-makes-a-fleets-passes.md).

${parts.machine.map((line) => `- ${line}`).join('\n')}

Nightshift ran as it is shipped, with everything on: an answer only after the commit, ten tenants, bundles of at most 200 runs, roles with
row-level security, two audit rows a run, partitioned history. The peers ran at their best documented settings: BullMQ with 100 jobs at once
and finished jobs removed, its Postgres backend with 20 connections, pg-boss in batches of 100 with \`burstWhenBatchFull\`, two local workers
and LISTEN/NOTIFY, graphile-worker with the configuration of its performance page (24 jobs at once, a local queue of 500, completions in
batches). \`pg-boss-batch\` is pg-boss whose handler changes the rows of its batch in one statement, as a Nightshift bundle does; the claim about useful jobs
is against handlers of one job at a time, and this row stands beside it. Workers of all systems ran with Node's \`--no-memory-reducer --single-threaded-gc --expose-gc\`, as Nightshift's are started. None of the
peers keeps a record of who asked for a job, whose it was, and what became of each attempt.

## What must hold

${parts.text}
`;
  writeFileSync(PAGE, page);
  return PAGE;
}
