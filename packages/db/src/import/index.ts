export type { ImportProblem } from './check-header.ts';
export { type ImportCsvOptions, type ImportCsvResult, importableTables, importCsv } from './import-csv.ts';
export { ImportConflictError, ImportKeysError, UnknownImportTableError, UnknownTenantError } from './import-errors.ts';
