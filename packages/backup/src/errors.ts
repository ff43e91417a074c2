import { NightshiftError, PermanentError } from '@nightshift/engine';

// Those that no second try can mend are `PermanentError`s: the run fails at once.

/** A backup cannot be made or read with the settings of this process; the message names the variable. */
export class BackupSettingsError extends PermanentError {
  constructor(message: string) {
    super(message);
  }
}

/** The place named is outside of the backup root, or leads out of it. */
export class StoragePathError extends PermanentError {
  constructor(path: string, why: string, options?: ErrorOptions) {
    super(`'${path}' is no place for a backup: ${why}.`, options);
  }
}

/** What is stored is not what was written: changed, cut off, mixed up, or of another format. */
export class DamagedBackupError extends NightshiftError {
  constructor(id: string, why: string, options?: ErrorOptions) {
    super('damaged-backup', `Backup '${id}' is damaged: ${why}.`, options);
  }
}

export class UnknownBackupError extends NightshiftError {
  readonly backupId: string;
  constructor(id: string, where: string) {
    super(
      'unknown-backup',
      `There is no backup '${id}' in ${where}. nightshift backup list shows those that there are.`,
    );
    this.backupId = id;
  }
}

/** `ENCRYPTION_KEYS` does not hold the key that a backup was made under, or holds another one under its id. */
export class BackupKeyError extends NightshiftError {
  constructor(id: string, keyId: string, why: string) {
    super('backup-key', `Backup '${id}' was made under key '${keyId}', ${why}.`);
  }
}

/** A table whose rows the backup role would not see: it would be saved empty. */
export class UnreadableTablesError extends PermanentError {
  constructor(tables: readonly string[]) {
    super(
      `The role ns_backup cannot read all rows of ${tables.join(', ')}: grant it SELECT and a policy USING (true), as the other tables have.`,
    );
  }
}

/** An incremental backup has nothing to stand on. */
export class NoBaseError extends PermanentError {
  constructor(why: string, options?: ErrorOptions) {
    super(`No incremental backup can be made: ${why}. Make a full one.`, options);
  }
}

/** The database to restore into holds rows. */
export class NotEmptyError extends NightshiftError {
  readonly tables: readonly string[];
  constructor(database: string, tables: readonly { name: string; rows: number }[]) {
    const named = tables.slice(0, 10).map((table) => `${table.name} (${table.rows} rows)`);
    const more = tables.length > named.length ? ` and ${tables.length - named.length} more tables` : '';
    super(
      'not-empty',
      `Database '${database}' is not empty: ${named.join(', ')}${more}. Restore into a database that does not exist yet.`,
    );
    this.tables = tables.map((table) => table.name);
  }
}

/** Backup and build have different schemas. */
export class SchemaMismatchError extends PermanentError {
  constructor(message: string) {
    super(message);
  }
}

/** The restored rows are not the saved ones; nothing was committed. */
export class ProofError extends NightshiftError {
  constructor(problems: readonly string[]) {
    super(
      'restore-not-proved',
      `Nothing was restored, since the rows are not those of the backup: ${problems.join('; ')}.`,
    );
  }
}
