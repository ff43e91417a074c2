import type { Pool } from '@nightshift/db';

/**
 * Why tenant isolation would not hold with this login, or null. A Postgres that doesn't answer is no reason: the API starts without it
 * and says so at /readyz.
 */
export async function unsafeDatabase(pool: Pick<Pool, 'query'>): Promise<string | null> {
  const answer = await pool
    .query<{ unsafe: boolean }>('SELECT rolsuper OR rolbypassrls AS unsafe FROM pg_roles WHERE rolname = session_user')
    .catch(() => null);
  return answer?.rows[0]?.unsafe === true
    ? 'DATABASE_URL logs in as a role that row-level security does not bind (superuser or BYPASSRLS): use the role nightshift'
    : null;
}
