import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { runNight } from '../night.ts';
import { nightFailed, nightTable, showNightProgress } from '../night-table.ts';

export function nightCommand(program: Command, cli: Cli): void {
  const command = program
    .command('night')
    .description("run tonight's schedules now, for all tenants, in their order")
    .option('--no-retries', 'a run that fails is not tried again, so the night goes on at once');
  cli.run(command, async (options: { json?: boolean; retries: boolean }) =>
    cli.withProducer(async (producer) => {
      const rows = await runNight({
        producer,
        actor: cli.actor,
        onProgress: showNightProgress(cli.stderr),
        signal: cli.signal,
        ...(options.retries ? {} : { retries: 0 }),
      });
      cli.print(options, rows, nightTable);
      return nightFailed(rows) ? EXIT.failed : EXIT.ok;
    }),
  );
}
