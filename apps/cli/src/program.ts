import { Command } from 'commander';
import type { Cli } from './cli-context.ts';
import { alertsCommand } from './commands/alerts.ts';
import { backupCommand } from './commands/backup.ts';
import { doctorCommand } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { importCommand } from './commands/import.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { migrateCommand } from './commands/migrate.ts';
import { nightCommand } from './commands/night.ts';
import { notificationsCommand } from './commands/notifications.ts';
import { queuesCommand } from './commands/queues.ts';
import { runCommand } from './commands/run.ts';
import { runsCommand } from './commands/runs.ts';
import { schedulesCommand } from './commands/schedules.ts';
import { seedCommand } from './commands/seed.ts';
import { tokenCommand } from './commands/token.ts';

/** The command line: every command, its options and its help. */
export function buildProgram(cli: Cli): Command {
  const program = new Command('nightshift')
    .description('Distributed background jobs: Redis executes, Postgres remembers.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.stdout.write(text),
      writeErr: (text) => void cli.stderr.write(text),
    });
  for (const command of [
    nightCommand,
    jobsCommand,
    runCommand,
    runsCommand,
    explainCommand,
    notificationsCommand,
    schedulesCommand,
    queuesCommand,
    keysCommand,
    alertsCommand,
    backupCommand,
    tokenCommand,
    importCommand,
    seedCommand,
    migrateCommand,
    doctorCommand,
  ]) {
    command(program, cli);
  }
  return program;
}
