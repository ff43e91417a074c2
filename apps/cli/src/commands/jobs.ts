import { createCatalogue } from '@nightshift/engine';
import { jobs } from '@nightshift/jobs';
import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { describeJob, type JobDescription, scheduleText } from '../job-description.ts';
import { seconds, table } from '../terminal.ts';

export function jobsCommand(program: Command, cli: Cli): void {
  const command = program.command('jobs').description('list the jobs of the catalogue');
  cli.run(command, async (options: { json?: boolean }) => {
    cli.print(options, createCatalogue(jobs).jobs.map(describeJob), jobsTable);
    return EXIT.ok;
  });
}

function jobsTable(described: readonly JobDescription[]): string {
  return table(
    ['job', 'schedule', 'scope', 'kind', 'priority', 'typical', 'max'],
    described.map((job) => [
      job.name,
      scheduleText(job.schedule),
      job.scope,
      job.kind,
      job.priority,
      seconds(job.typicalMs),
      seconds(job.maxMs),
    ]),
    ['typical', 'max'],
  );
}
