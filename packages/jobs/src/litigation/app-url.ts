const FALLBACK = 'http://127.0.0.1:3000';

/** Address of a page of the firm's own application: below `LITIGATION_APP_URL`, which the worker checks at its start. */
export function appUrl(path: string): string {
  return `${(process.env.LITIGATION_APP_URL || FALLBACK).replace(/\/+$/, '')}${path}`;
}
