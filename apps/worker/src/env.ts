import { backupEnvShape } from '@nightshift/backup';
import { encryptionKeysVariable } from '@nightshift/engine/crypto';
import { z } from 'zod';

const perSecond = (usual: number) => z.coerce.number().positive().max(10_000).default(usual);
const flag = z.enum(['on', 'off']).transform((value) => value === 'on');

/** Variables of a worker. Each description says what it is for; `.env.example` is generated from them. */
export const workerEnvSchema = z.object({
  NODE_ENV: z
    .enum(['development', 'test', 'production'])
    .default('development')
    .describe('`production` refuses unsafe settings'),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).describe('Postgres, as the login role `nightshift`'),
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).describe('Redis with AOF and `maxmemory-policy noeviction`'),
  NIGHTSHIFT_NS: z
    .string()
    .regex(/^[a-z0-9_-]{1,32}$/)
    .default('ns')
    .describe('What every name in Redis begins with'),
  ENCRYPTION_KEYS: encryptionKeysVariable,
  NIGHTSHIFT_CLOCK: flag.prefault('on').describe('`off`: schedules do not fire in this worker; runs and retries go on'),
  NIGHTSHIFT_SLOTS_SHORT: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe(
      'Dispatches of request jobs (up to 400 runs each under a backlog, 800 from eight slots on) in hand at once, per queue',
    ),
  NIGHTSHIFT_SLOTS_LONG: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Sweeps and tasks in hand at once, per queue'),
  NIGHTSHIFT_CANARY_SECONDS: z.coerce
    .number()
    .int()
    .min(0)
    .max(3600)
    .default(60)
    .describe('Seconds between two signs of life asked of each queue; 0: none'),
  NIGHTSHIFT_STUCK_SECONDS: z.coerce
    .number()
    .int()
    .min(5)
    .max(3600)
    .default(30)
    .describe(
      'Seconds without a claim round, while work waits and a slot is free, after which the worker exits with code 70',
    ),
  RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(3650)
    .default(30)
    .describe('Days that inputs and results are kept'),
  SMTP_URL: z
    .url({ protocol: /^smtps?$/ })
    .optional()
    .describe(
      'Server that mail goes through, `smtps://user:password@host` or `smtp://…:587` (STARTTLS, needed off this machine)',
    ),
  MAIL_FROM: z
    .string()
    .regex(/^[^<>@\s]+@[^<>@\s]+$|<[^<>@\s]+@[^<>@\s]+>$/, {
      error: 'expected an address like: Nightshift <jobs@example.org>',
    })
    .optional()
    .describe('Sender of mail, `Name <address>`; its host names the messages'),
  WHATSAPP_URL: z
    .url({ protocol: /^https?$/ })
    .default('https://graph.facebook.com/v23.0')
    .describe('Graph API of the WhatsApp Cloud API, with its version'),
  WHATSAPP_TOKEN: z.string().min(1).optional().describe('Access token of the WhatsApp business account'),
  WHATSAPP_PHONE_ID: z.string().min(1).optional().describe('Id of the number that WhatsApp messages come from'),
  NIGHTSHIFT_SENDING: z.coerce
    .number()
    .int()
    .min(0)
    .max(64)
    .default(4)
    .describe('Notifications that this worker has in hand at once, per channel; 0: it sends none'),
  EMAIL_PER_SECOND: perSecond(10).describe('Mails a second, of all workers together'),
  WHATSAPP_PER_SECOND: perSecond(20).describe('WhatsApp messages a second, of all workers together'),
  WEBHOOK_PER_SECOND: perSecond(10).describe('Webhook calls a second, of all workers together'),
  ALERT_EMAIL_TO: z
    .string()
    .transform((text) => text.split(',').flatMap((one) => one.trim() || []))
    .pipe(z.array(z.email({ error: 'expected mail addresses, separated by commas' })))
    .optional()
    .describe('Who gets mail about alerts: addresses, separated by commas'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional()
    .describe('Address that callers use, without a path: links in mail begin with it'),
  LITIGATION_APP_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      "Address of the firms' own application, which links in litigation mails lead to; default the API's port on this machine",
    ),
  ...backupEnvShape,
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least level that is logged'),
});

export type WorkerEnv = z.output<typeof workerEnvSchema>;

/** Errors: one that lists every variable that is missing or wrong. */
export function readEnv(source: NodeJS.ProcessEnv): WorkerEnv {
  // An empty variable counts as not set.
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ''));
  const parsed = workerEnvSchema.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `  - ${issue.path.join('.')}: ${issue.message}`);
  if (source.NODE_ENV === 'production' && !source.ENCRYPTION_KEYS)
    problems.push('  - ENCRYPTION_KEYS: is not set, and production needs it for personal fields');
  if ((source.SMTP_URL ? 1 : 0) !== (source.MAIL_FROM ? 1 : 0))
    problems.push('  - SMTP_URL and MAIL_FROM: mail needs both, and one is not set');
  if (source.NODE_ENV === 'production' && !source.BACKUP_ROOT && !source.S3_BUCKET)
    problems.push('  - BACKUP_ROOT: is not set, and neither is S3_BUCKET: the nightly backup has nowhere to go');
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new Error(`The worker cannot start; set these environment variables right:\n${problems.join('\n')}`);
}
