import type { Command } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { checkPostgres } from '../doctor/check-postgres.ts';
import { checkRedis } from '../doctor/check-redis.ts';
import { checkWorkers } from '../doctor/check-workers.ts';
import { findingsText } from '../doctor/finding.ts';
import { findServers } from '../servers.ts';

export function doctorCommand(program: Command, cli: Cli): void {
  const command = program.command('doctor').description('check Redis, Postgres and the workers, and say what to mend');
  cli.run(command, async (options: { json?: boolean }) => {
    const servers = findServers(cli.env);
    const [redis, postgres] = await Promise.all([checkRedis(servers.redisUrl), checkPostgres(servers.databaseUrl)]);
    const workers = await cli.withProducer((producer) => checkWorkers(producer, cli.actor));
    const findings = [...redis, ...postgres, ...workers];
    cli.print(options, findings, findingsText);
    return findings.every((finding) => finding.ok) ? EXIT.ok : EXIT.failed;
  });
}
