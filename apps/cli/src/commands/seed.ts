import { seedDemo } from '@nightshift/db/demo';
import { type Command, InvalidArgumentError } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { encryptionKeys } from '../home.ts';
import { findAdminUrl, NoAdminUrlError } from '../servers.ts';

interface Flags {
  gyms: number;
  members: number;
  days: number;
  zakatUsers: number;
  seed: number;
  facilities: number;
  clients: number;
  organisations: number;
  organisationUsers: number;
  json?: boolean;
}

export function seedCommand(program: Command, cli: Cli): void {
  const command = program
    .command('seed')
    .description('fill an empty database with demo data; the same numbers give the same rows')
    .option('--gyms <count>', 'gyms', parseCount, 3)
    .option('--members <count>', 'members of each gym', parseCount, 2_000)
    .option('--days <count>', 'days of visits', parseCount, 180)
    .option('--facilities <count>', 'clinics', parseCount, 3)
    .option('--clients <count>', 'clients of each clinic', parseCount, 1_000)
    .option('--organisations <count>', 'health organisations, 4 at most', parseCount, 2)
    .option('--organisation-users <count>', 'users of each of them', parseCount, 200)
    .option('--zakat-users <count>', 'users of the zakat system', parseCount, 500)
    .option('--seed <number>', 'start of the random sequence', parseCount, 1);
  cli.run(command, async (flags: Flags) => {
    const adminUrl = findAdminUrl(cli.env);
    if (adminUrl === null) throw new NoAdminUrlError();
    const { gyms, members, days, seed, facilities, clients, organisations, organisationUsers, zakatUsers } = flags;
    const result = await seedDemo({
      adminUrl,
      gyms,
      members,
      days,
      seed,
      facilities,
      clients,
      organisations,
      organisationUsers,
      zakatUsers,
      encryptionKeys: encryptionKeys(cli.env),
      onProgress: cli.tell,
    });
    cli.print(flags, result, () =>
      result.seeded
        ? `${result.gyms} gyms, ${result.members} members, ${result.visits} visits, ${result.coaches} coaches; ${result.clinic.facilities} clinics, ${result.clinic.clients} clients; ${result.medication.organisations} health organisations, ${result.medication.users} users; ${result.zakat.users} zakat users; ${result.litigation.firms} law firms.`
        : 'There is data already; nothing was changed.',
    );
    return EXIT.ok;
  });
}

function parseCount(text: string): number {
  if (!/^\d{1,7}$/.test(text) || Number(text) === 0)
    throw new InvalidArgumentError('It must be a whole number above 0.');
  return Number(text);
}
