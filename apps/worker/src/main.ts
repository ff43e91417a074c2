import { createCatalogue } from '@nightshift/engine';
import { senderOptions, startWorker } from '@nightshift/engine/worker';
import { jobs, templates } from '@nightshift/jobs';
import { pino } from 'pino';
import { refuseEviction } from './check-redis.ts';
import { readEnv, type WorkerEnv } from './env.ts';

/** Beyond the grace that the engine gives what is in hand, ms. */
const FORCED_AFTER_MS = 30_000;

/** EX_SOFTWARE: nothing from outside is wrong, a fresh process is the cure. */
const EXIT_STUCK = 70;

async function main(): Promise<void> {
  const env = readEnv(process.env);
  // Written before the next line is: what a worker says right before it exits would else come in any order.
  const destination = pino.destination({ sync: true });
  const log = pino({ level: env.LOG_LEVEL, base: { app: 'worker', pid: process.pid } }, destination);
  await refuseEviction(env.REDIS_URL);
  const worker = await startWorker({
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    namespace: env.NIGHTSHIFT_NS,
    catalogue: createCatalogue(jobs, templates),
    log,
    encryptionKeys: env.ENCRYPTION_KEYS,
    ...(env.ALERT_EMAIL_TO === undefined ? {} : { alertMail: { to: env.ALERT_EMAIL_TO, publicUrl: env.PUBLIC_URL } }),
    version: process.env.npm_package_version ?? '0.1.0',
    slots: { short: env.NIGHTSHIFT_SLOTS_SHORT, long: env.NIGHTSHIFT_SLOTS_LONG },
    fireSchedules: env.NIGHTSHIFT_CLOCK,
    retentionDays: env.RETENTION_DAYS,
    refuseUnsafeLogin: env.NODE_ENV === 'production',
    notifications: env.NIGHTSHIFT_SENDING === 0 ? undefined : sendingOf(env),
    canarySeconds: env.NIGHTSHIFT_CANARY_SECONDS,
    stuckSeconds: env.NIGHTSHIFT_STUCK_SECONDS,
    onStuck: (queue) => {
      // What is in hand elsewhere is cut off: its lease or lock expires and another worker takes it up.
      log.fatal({ queue, exitCode: EXIT_STUCK }, 'exiting, so that the supervisor starts a fresh worker');
      process.exit(EXIT_STUCK);
    },
  });

  let stopping = false;
  const stop = (why: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping: nothing more is taken');
    setTimeout(() => process.exit(1), FORCED_AFTER_MS + 2_000).unref();
    worker.stop(FORCED_AFTER_MS).then(
      () => process.exit(0),
      (error: Error) => {
        log.error({ err: { message: error.message } }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('disconnect', () => stop('supervisor gone'));
  // Ready without Redis too: the loops go on trying, and nothing is lost meanwhile.
  process.send?.({ type: 'ready' });
}

function sendingOf(env: WorkerEnv) {
  return senderOptions({
    production: env.NODE_ENV === 'production',
    smtpUrl: env.SMTP_URL,
    mailFrom: env.MAIL_FROM,
    whatsapp: { url: env.WHATSAPP_URL, token: env.WHATSAPP_TOKEN, phoneId: env.WHATSAPP_PHONE_ID },
    perSecond: { email: env.EMAIL_PER_SECOND, whatsapp: env.WHATSAPP_PER_SECOND, webhook: env.WEBHOOK_PER_SECOND },
    inHand: env.NIGHTSHIFT_SENDING,
  });
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
