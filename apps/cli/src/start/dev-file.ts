import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `<home>/dev.json`: where a running development installation is, for people's tools and tests from outside. */
export interface DevFile {
  apiUrl: string;
  databaseUrl: string;
  /** The superuser, in the same database. */
  adminDatabaseUrl: string;
  redisUrl: string;
  cronSecret: string;
  functionsApiKey: string;
  jwtSecret: string;
  /** What jobs send by mail in development; null where SMTP_URL names a server. */
  smtpUrl: string | null;
  /** Inbox of that mail; `/mails.json` lists it. */
  mailUrl: string | null;
  pids: { api: number[]; worker: number[] };
}

const pathIn = (home: string) => join(home, 'dev.json');

/** Readable for its owner alone; replaced in one step, so that a reader never sees half of it. */
export function writeDevFile(home: string, content: DevFile): void {
  const path = pathIn(home);
  writeFileSync(`${path}.next`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.next`, path);
}

export function removeDevFile(home: string): void {
  rmSync(pathIn(home), { force: true });
}
