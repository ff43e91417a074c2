/** The table has no import. Lists those that do. */
export class UnknownImportTableError extends Error {
  override readonly name = 'UnknownImportTableError';
  readonly code = 'unknown-table';
  constructor(table: string, known: readonly string[]) {
    super(`no table '${table}' to import into: expected one of ${known.join(', ')}`);
  }
}

/** The tenant does not exist, or the connection may not see it. */
export class UnknownTenantError extends Error {
  override readonly name = 'UnknownTenantError';
  readonly code = 'unknown-tenant';
  constructor(tenantId: string) {
    super(`no tenant with id '${tenantId}': create it first, or check the id`);
  }
}

/** The table has encrypted columns, and the process no keys. */
export class ImportKeysError extends Error {
  override readonly name = 'ImportKeysError';
  readonly code = 'import-needs-keys';
  constructor(table: string) {
    super(`${table} has encrypted columns and this process has no keys: set ENCRYPTION_KEYS to those of the workers`);
  }
}

/** Somebody else changed the same rows between the checks and the insert; nothing was imported. */
export class ImportConflictError extends Error {
  override readonly name = 'ImportConflictError';
  readonly code = 'import-conflict';
  constructor(table: string, cause: unknown) {
    super(`${table} or what it points to changed while the file was checked: nothing was imported, import it again`, {
      cause,
    });
  }
}
