import type { Pool } from './connect.ts';

/** Why tenant isolation would not hold with this login, or null. A Postgres that doesn't answer is no reason: whoever needs it says so elsewhere. */
export async function unsafeLogin(pool: Pick<Pool, 'query'>): Promise<string | null> {
  const answer = await pool
    .query<{ unsafe: boolean }>('SELECT rolsuper OR rolbypassrls AS unsafe FROM pg_roles WHERE rolname = session_user')
    .catch(() => null);
  return answer?.rows[0]?.unsafe === true
    ? 'DATABASE_URL logs in as a role that row-level security does not bind (superuser or BYPASSRLS): use the role nightshift'
    : null;
}
