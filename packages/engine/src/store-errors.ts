import { setTimeout as wait } from 'node:timers/promises';
import { StoreUnavailableError } from './errors.ts';

/** SQLSTATE of an error from Postgres, or null. */
export function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

// Errors of the connection itself: pg has no codes for most of them.
const CONNECTION_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENOENT',
]);
const CONNECTION_WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|not queryable|client was closed/i;

/** True when Postgres is away or shutting down, as far as this connection can tell. */
export function isConnectionError(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    const state = sqlState(e);
    if (state !== null && /^(08|57P0|58)/.test(state)) return true;
    if (state === '25P03' || state === '25P04') return true;
    const code = (e as { code?: string }).code;
    if ((code !== undefined && CONNECTION_CODES.has(code)) || CONNECTION_WORDS.test(e.message)) return true;
  }
  return false;
}

/**
 * True when the same statements may succeed if they are sent again: connection, serialization, deadlock, resources, lock timeout,
 * shutdown (SQLSTATE 08, 40, 53, 55P03, 57), a server that takes no writes for now (25006). Everything else is the data's or the code's fault.
 */
export function isPassing(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    const state = sqlState(e);
    if (state !== null && /^(08|40|53|55P03|57|25006)/.test(state)) return true;
  }
  return isConnectionError(error);
}

/** True when the server could not, whatever it was asked: away, no room or connection left, taking no writes for now (SQLSTATE 53 without 53400, 25006). */
export function isOutage(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (/^(53[0-3]|25006)/.test(sqlState(e) ?? '')) return true;
  return isConnectionError(error);
}

/** The error that Postgres ended a statement, a transaction or an idle one with for lasting too long; null: it is another. */
export function outlasted(error: unknown): Error | null {
  for (let e = error; e instanceof Error; e = e.cause) if (/^(57014|25P0[34])$/.test(sqlState(e) ?? '')) return e;
  return null;
}

/** True when the transaction had lasted as long as one may: it will not be shorter the next time. */
export function isTooLong(error: unknown): boolean {
  return sqlState(outlasted(error)) === '25P04';
}

/** True when Postgres undid the transaction for another one's sake: a deadlock, or what happened at the same time. */
function isUndone(error: unknown): boolean {
  return /^40(001|P01)$/.test(sqlState(error) ?? '');
}

/** Tries of what deadlocks, and the longest wait before the second, ms; it grows. The other one of the two goes on meanwhile. */
const TRIES = 5;
const WAIT_MS = 20;

/**
 * What somebody waits for: reads, then one transaction, which is done again when it lost a deadlock. Errors: those that pass as
 * `StoreUnavailableError`; others as they are.
 */
export async function storeErrors<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isUndone(error) || tries === TRIES) throw isPassing(error) ? new StoreUnavailableError(error) : error;
      await wait(Math.random() * WAIT_MS * tries);
    }
  }
}

/** True when somebody else held a lock for too long (`lock_timeout`). */
export function isLocked(error: unknown): boolean {
  return sqlState(error) === '55P03';
}

/** True for an error of the data given (SQLSTATE 22, 23): a statement of many rows may succeed without the bad one. */
export function isDataError(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '');
}

const EMAIL = /[\w.+-]+@[\w-]+\.[\w.-]+/g;
const PHONE = /(?<![\w-])\+?\d[\d ()]{7,}\d(?![\w-])/g;

/**
 * An error's message for records, at most 500 characters: no e-mail addresses or telephone numbers, and of Postgres' errors only the code
 * and the names of its objects, since their texts quote values.
 */
export function scrubbed(error: unknown): string {
  const state = sqlState(error);
  if (state !== null) {
    const { table, column, constraint } = error as { table?: string; column?: string; constraint?: string };
    const names = [
      constraint && `constraint ${constraint}`,
      table && `table ${table}`,
      column && `column ${column}`,
    ].filter(Boolean);
    return `Postgres refused it: SQLSTATE ${state}${names.length > 0 ? ` (${names.join(', ')})` : ''}`;
  }
  const message = error instanceof Error ? error.message : String(error);
  // Postgres takes no NUL in a text: the record of a failure must not fail.
  return message.replaceAll('\u0000', '').replace(EMAIL, '<e-mail>').replace(PHONE, '<number>').slice(0, 500);
}
