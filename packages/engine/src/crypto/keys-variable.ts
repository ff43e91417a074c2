import { KeyringError, parseKeyring } from '@nightshift/db/crypto';
import { z } from 'zod';

/** `ENCRYPTION_KEYS`, as a schema of environment variables. Its problems name key ids, never a key. */
export const encryptionKeysVariable = z
  .string()
  .superRefine((value, ctx) => {
    try {
      parseKeyring(value);
    } catch (error) {
      if (!(error instanceof KeyringError)) throw error;
      for (const message of error.problems) ctx.addIssue({ code: 'custom', message });
    }
  })
  .optional()
  .describe(
    'Master keys of encrypted fields, `id:base64,…`, each of 32 bytes, the first is active; required in production. One: `k1:$(openssl rand -base64 32)`',
  );
