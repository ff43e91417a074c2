import { isUuid } from '@nightshift/db';
import { NightshiftError } from '@nightshift/engine';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { SignJWT } from 'jose';
import { type Cli, EXIT } from '../cli-context.ts';
import { homeDirectory, readDevFile, storedJwtSecret } from '../home.ts';
import { findTenant } from '../tenants.ts';

const ROLES = ['viewer', 'operator', 'admin', 'service'];
/** A development token that outlives this is a mistake, s. */
const LONGEST_S = 30 * 86_400;

export class ProductionTokenError extends NightshiftError {
  constructor() {
    super(
      'production-token',
      'nightshift token makes development tokens only; in production tokens come from your identity provider.',
    );
  }
}

export class NoJwtSecretError extends NightshiftError {
  constructor() {
    super('no-jwt-secret', 'There is no secret to sign with; start the platform with npm start, or set JWT_SECRET.');
  }
}

interface Flags {
  role: string;
  tenant?: string;
  sub?: string;
  expires: number;
  json?: boolean;
}

export function tokenCommand(program: Command, cli: Cli): void {
  const command = program
    .command('token')
    .description('make a development token for the API')
    .addOption(new Option('--role <role>').choices(ROLES).makeOptionMandatory())
    .option('--tenant <tenant>', 'slug, id or system/slug; without it the token is for the platform')
    .option('--sub <subject>', 'principal in the audit log', parseSubject)
    .option('--expires <duration>', 'such as 30m, 12h or 7d', parseDuration, 12 * 3600);
  cli.run(command, async (flags: Flags) => {
    const secret = signingSecret(cli);
    const tenant = flags.tenant === undefined ? undefined : await tenantId(cli, flags.tenant);
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      sub: flags.sub ?? `dev-${flags.role}`,
      role: flags.role,
      ...(tenant === undefined ? {} : { tenant }),
    };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuer(cli.env.JWT_ISSUER || 'nightshift')
      .setAudience(cli.env.JWT_AUDIENCE || 'nightshift')
      .setIssuedAt(now)
      .setExpirationTime(now + flags.expires)
      .sign(new TextEncoder().encode(secret));
    cli.print(
      flags,
      { token, ...claims, expiresAt: new Date((now + flags.expires) * 1000).toISOString() },
      () => token,
    );
    return EXIT.ok;
  });
}

function signingSecret(cli: Cli): string {
  if (cli.env.NODE_ENV === 'production') throw new ProductionTokenError();
  const home = homeDirectory(cli.env);
  const secret = cli.env.JWT_SECRET || readDevFile(home)?.jwtSecret || storedJwtSecret(home);
  if (!secret) throw new NoJwtSecretError();
  return secret;
}

async function tenantId(cli: Cli, name: string): Promise<string> {
  if (isUuid(name)) return name;
  return cli.withProducer(async (producer) => (await findTenant(producer, name)).id);
}

/** What the API takes: a token without a subject would be refused there, without a word why. */
function parseSubject(text: string): string {
  if (text.trim() === '' || text.length > 200 || /\p{Cc}/u.test(text))
    throw new InvalidArgumentError('It must be 1 to 200 characters, none of them a control character.');
  return text;
}

function parseDuration(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit ?? ''];
  if (number === undefined || unitSeconds === undefined)
    throw new InvalidArgumentError('It must look like 30m, 12h or 7d.');
  const total = Number(number) * unitSeconds;
  if (total === 0 || total > LONGEST_S) throw new InvalidArgumentError('It must be between 1s and 30d.');
  return total;
}
