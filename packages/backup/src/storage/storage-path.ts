import { z } from 'zod';

// A part of a place: no leading dot (which shuts out `.` and `..`), no slash, backslash, colon (drive letters, streams), NUL or control character.
const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Devices that Windows finds in every directory, with whatever extension. */
const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

/** With room for what is put before a tenant's path, short of the 255 bytes that many systems take. */
const LONGEST = 250;
const LONGEST_GIVEN = 180;

/** Why this is no place below a root, or null. `''` is the root itself. */
export function storagePathProblem(path: string): string | null {
  if (path === '') return null;
  if (path.length > LONGEST) return `must be at most ${LONGEST} characters`;
  for (const part of path.split('/')) {
    if (!PART.test(part))
      return 'must be names of letters, digits, dots, dashes and underscores, joined by /, such as nightly/clinic';
    if (RESERVED.test(part) || part.endsWith('.')) return `must not hold the reserved name '${part}'`;
  }
  return null;
}

/** A place below the backup root, or below the bucket's: relative, without dots and links. */
export const storagePathSchema = z
  .string()
  .max(LONGEST_GIVEN)
  .superRefine((path, ctx) => {
    const problem = storagePathProblem(path);
    if (problem !== null) ctx.addIssue({ code: 'custom', message: problem });
  });
