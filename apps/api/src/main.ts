import { unsafeLogin } from '@nightshift/db';
import { createCatalogue } from '@nightshift/engine';
import { createProducer } from '@nightshift/engine/accept';
import { jobs } from '@nightshift/jobs';
import { pino } from 'pino';
import { createApp } from './app.ts';
import { createBoardQueues } from './board/queues.ts';
import { type Env, EnvError, readEnv } from './env.ts';
import { createHttpServer, listen, stopOnRequest } from './server.ts';
import { version } from './version.ts';

/** Wiring only: environment → app → listen → stop. */
async function main(env: Env): Promise<void> {
  const log = pino({
    level: env.LOG_LEVEL,
    base: { service: 'api', pid: process.pid },
    redact: ['req.headers', 'res.headers'],
  });
  const catalogue = createCatalogue(jobs);
  const producer = createProducer({
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    namespace: env.NIGHTSHIFT_NS,
    poolMax: env.API_POOL_MAX,
    encryptionKeys: env.ENCRYPTION_KEYS,
    catalogue,
    log,
  });
  const queues = createBoardQueues({
    redisUrl: env.REDIS_URL,
    namespace: env.NIGHTSHIFT_NS,
    queues: catalogue.queues.map((queue) => queue.name),
    log,
  });
  if (env.NODE_ENV === 'production') {
    const problem = await unsafeLogin(producer.pools.app);
    if (problem !== null) throw new EnvError([problem]);
  }
  const server = createHttpServer(createApp({ env, producer, queues, log, version }));
  const port = await listen(server, env.HOST, env.PORT);
  log.info({ host: env.HOST, port, version }, 'Listening');
  stopOnRequest({
    server,
    log,
    close: async () => void (await Promise.allSettled([producer.close(), queues.close()])),
  });
  process.send?.({ type: 'ready', port });
}

try {
  await main(readEnv(process.env));
} catch (error) {
  // Named errors say what to do in one sentence; a stack would hide it.
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
