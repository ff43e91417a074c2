import { ProblemError } from './problem.ts';

/** Longest wait that a caller may ask for, s. */
export const MAX_WAIT_SECONDS = 300;

/**
 * Seconds of `Prefer: wait=N` (RFC 7240), 300 at most; null without it. Other preferences are ignored, as the RFC says.
 * Errors: 400 for a wait that is no whole number of seconds.
 */
export function waitSeconds(header: string | string[] | undefined): number | null {
  const preferences = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',');
  for (const preference of preferences) {
    const [name, value] = (preference.split(';')[0] ?? '').split('=').map((part) => part.trim());
    if (name?.toLowerCase() !== 'wait') continue;
    return secondsOf(value?.replaceAll('"', ''));
  }
  return null;
}

/** Errors: 400 for anything but a whole number of seconds. */
export function secondsOf(value: unknown): number {
  if (typeof value !== 'string' || !/^\d{1,6}$/.test(value)) {
    throw new ProblemError(400, 'invalid-wait', 'wait must be a whole number of seconds.');
  }
  return Math.min(Number(value), MAX_WAIT_SECONDS);
}
