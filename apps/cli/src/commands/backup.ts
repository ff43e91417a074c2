import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BackupSettings,
  backupSettings,
  findBackup,
  type ListedBackup,
  listBackups,
  parseTenantKeys,
  readTenantKeys,
  restoreBackup,
  STORAGE_TYPES,
  type StorageType,
  tenantKeysText,
  verifyBackup,
} from '@nightshift/backup';
import { type Command, Option } from 'commander';
import { type Cli, EXIT } from '../cli-context.ts';
import { encryptionKeys, homeDirectory } from '../home.ts';
import { findAdminUrl, NoAdminUrlError } from '../servers.ts';
import { count, table } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { existingDatabase, passwordOfLogin } from './migrate.ts';

interface Flags {
  storage?: StorageType;
  database: string;
  keys?: string;
  json?: boolean;
}

/** `backup list`, `backup verify`, `backup restore` and `backup keys`. A backup is made by a run of `medication.backup`. */
export function backupCommand(program: Command, cli: Cli): void {
  const backup = program
    .command('backup')
    .description('look at, check and restore what runs of medication.backup have saved');
  const storage = () => new Option('--storage <type>', 'look only there').choices(STORAGE_TYPES);
  const list = backup.command('list').description('backups that there are, the oldest first').addOption(storage());
  cli.run(list, (flags: Flags) => listing(cli, flags));
  const verify = backup
    .command('verify')
    .description('read a backup and all that it continues, from the first byte to the last')
    .argument('<id>', 'as backup list shows it')
    .addOption(storage());
  cli.run(verify, (id: string, flags: Flags) => verifying(cli, id, flags));
  const restore = backup
    .command('restore')
    .description('restore a backup into an empty database of the server that ADMIN_DATABASE_URL names, and prove it')
    .argument('<id>', 'as backup list shows it')
    .requiredOption('--database <name>', 'made if it is missing; refused if it holds rows')
    .option('--keys <file>', "tenants' keys saved by backup keys; without them encrypted fields stay unreadable")
    .addOption(storage());
  cli.run(restore, (id: string, flags: Flags) => restoring(cli, id, flags));
  const keys = backup
    .command('keys')
    .description(
      "save the tenants' keys, wrapped by the master key, which no backup holds; keep the file apart from both",
    )
    .argument('<file>', 'written anew, readable by you alone');
  cli.run(keys, (file: string, flags: Flags) => savingKeys(cli, file, flags));
}

/** What the environment says, completed by what `npm start` uses. */
function settingsOf(cli: Cli): BackupSettings {
  const root = join(homeDirectory(cli.env), 'backups');
  return backupSettings({
    ...cli.env,
    ENCRYPTION_KEYS: encryptionKeys(cli.env),
    BACKUP_ROOT: cli.env.BACKUP_ROOT || (cli.env.NODE_ENV === 'production' ? undefined : root),
  });
}

async function listing(cli: Cli, flags: Flags) {
  const settings = settingsOf(cli);
  const types = flags.storage === undefined ? STORAGE_TYPES.filter((type) => settings.isSetUp(type)) : [flags.storage];
  let damaged = 0;
  const tellDamaged = (error: Error) => {
    damaged++;
    cli.tell(error.message);
  };
  const found = (await Promise.all(types.map((type) => listBackups(settings, type, tellDamaged)))).flat();
  cli.print(flags, found, () => (found.length === 0 ? 'There is no backup yet.' : backupsTable(found)));
  return damaged === 0 ? EXIT.ok : EXIT.failed;
}

function backupsTable(found: readonly ListedBackup[]): string {
  return table(
    ['backup', 'of', 'taken', 'rows', 'size', 'continues', 'where'],
    found.map((one) => [
      one.id,
      one.tenant ?? (one.type === 'full' ? 'everything' : 'what changed'),
      `${one.takenAt.slice(0, 16).replace('T', ' ')} UTC`,
      count(one.rows),
      size(one.bytes),
      one.base ?? '',
      `${one.storage}:${one.path}`,
    ]),
    ['rows', 'size'],
  );
}

/** `512 B`, `1.2 MB`. */
function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
}

async function placeOf(settings: BackupSettings, id: string, flags: Flags) {
  const place = await findBackup(settings, id, flags.storage === undefined ? STORAGE_TYPES : [flags.storage]);
  return settings.storage(place.type, place.path);
}

async function verifying(cli: Cli, id: string, flags: Flags) {
  const settings = settingsOf(cli);
  const verified = await verifyBackup(await placeOf(settings, id, flags), settings.keyring(), id);
  cli.print(flags, { id, whole: true, chain: verified }, () =>
    verified
      .map((one) => `${one.id}: whole, ${count(one.tables)} tables, ${count(one.rows)} rows, ${size(one.bytes)}.`)
      .join('\n'),
  );
  return EXIT.ok;
}

async function restoring(cli: Cli, id: string, flags: Flags) {
  const adminUrl = findAdminUrl(cli.env);
  if (adminUrl === null) throw new NoAdminUrlError();
  const settings = settingsOf(cli);
  const loginPassword = passwordOfLogin(cli.env);
  const restored = await restoreBackup({
    storage: await placeOf(settings, id, flags),
    keyring: settings.keyring(),
    id,
    adminUrl: existingDatabase(adminUrl),
    database: flags.database,
    signal: cli.signal,
    onStep: cli.tell,
    ...(loginPassword === undefined ? {} : { loginPassword }),
    ...(flags.keys === undefined ? {} : { tenantKeys: keysOf(flags.keys) }),
  });
  cli.print(flags, restored, () =>
    [
      `${count(restored.rows)} rows in ${restored.tables.length} tables restored into ${restored.database}, as of ${restored.takenAt}.`,
      'Count and hash of every table are those of the backup.',
      flags.keys === undefined
        ? "No tenants' keys were given (--keys): encrypted fields cannot be read."
        : `${count(restored.keys)} tenants' keys put back.`,
    ].join('\n'),
  );
  return EXIT.ok;
}

function keysOf(file: string) {
  if (!existsSync(file)) throw new UsageError(`There is no file ${file}.`);
  return parseTenantKeys(readFileSync(file, 'utf8'), file);
}

function savingKeys(cli: Cli, file: string, flags: Flags) {
  return cli.withProducer(async (producer) => {
    const keys = await readTenantKeys(producer.pools.ops);
    // Beside it and renamed: a file that stood there may be readable by others.
    rmSync(`${file}.next`, { force: true });
    writeFileSync(`${file}.next`, tenantKeysText(keys), { mode: 0o600, flag: 'wx' });
    renameSync(`${file}.next`, file);
    await producer.appendAudit({
      tenantId: null,
      actor: cli.actor,
      action: 'keys.saved',
      details: { keys: keys.length },
    });
    cli.print(
      flags,
      { file, keys: keys.length },
      () => `${count(keys.length)} tenants' keys saved to ${file}. Keep it apart from backups and ENCRYPTION_KEYS.`,
    );
    return EXIT.ok;
  });
}
