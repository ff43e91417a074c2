import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';

export function explainCommand(program: Command, cli: Cli): void {
  const command = program
    .command('explain')
    .description('one sentence on why a run is not running, or how it runs')
    .argument('<run>', 'id of the run');
  cli.run(command, (id: string, flags: { json?: boolean }) =>
    cli.withProducer(async (producer) => {
      cli.print(flags, await producer.explain(id, null), ({ sentence }) => sentence);
      return EXIT.ok;
    }),
  );
}
