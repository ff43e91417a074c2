import { spawnSync } from 'node:child_process';
import { MissingBinaryError } from './errors.ts';

export interface OsUser {
  uid: number;
  gid: number;
}

const USER = 'postgres';

function lookUp(): OsUser | null {
  const uid = spawnSync('id', ['-u', USER], { encoding: 'utf8' });
  const gid = spawnSync('id', ['-g', USER], { encoding: 'utf8' });
  if (uid.status !== 0 || gid.status !== 0) return null;
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

function create(): void {
  const commands: [string, string[]][] = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', USER]],
    ['adduser', ['-S', '-D', '-H', '-s', '/sbin/nologin', USER]],
  ];
  for (const [command, args] of commands) if (spawnSync(command, args).status === 0) return;
}

/**
 * Postgres refuses to run as root: as root, the system user `postgres` (made if missing); otherwise null, ourselves.
 * @throws MissingBinaryError when the user can't be made.
 */
export function postgresUser(log: (line: string) => void): OsUser | null {
  if (process.getuid?.() !== 0) return null;
  const found = lookUp();
  if (found !== null) return found;
  log(`Postgres refuses to run as root: making the system user "${USER}"`);
  create();
  const made = lookUp();
  if (made === null) {
    throw new MissingBinaryError(
      `Postgres refuses to run as root, and the user "${USER}" can't be made: run "useradd --system ${USER}", or start as another user`,
    );
  }
  return made;
}
