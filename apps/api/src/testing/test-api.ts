import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createCatalogue, type DefinedJob, type Template } from '@nightshift/engine';
import { createProducer, type Producer } from '@nightshift/engine/accept';
import {
  TEST_ENCRYPTION_KEYS,
  type TestEngine,
  type TestStore,
  testEngine,
  testStore,
} from '@nightshift/engine/testing';
import { SignJWT } from 'jose';
import { pino } from 'pino';
import { createApp } from '../app.ts';
import { createBoardQueues } from '../board/queues.ts';
import { type Env, envSchema } from '../env.ts';
import type { WrongCredentialLimits } from '../http/limits.ts';
import { createHttpServer } from '../server.ts';
import { tinyJobs } from './tiny-jobs.ts';

export const FUNCTIONS_API_KEY = 'functions-key-of-the-tests';
export const CRON_SECRET = 'cron-secret-of-the-tests';
export const BOARD_PASSWORD = 'board-password-of-the-tests';
const JWT_SECRET = 'jwt-secret-of-the-tests-with-enough-characters';

export interface Claims {
  readonly role?: string;
  readonly tenant?: string;
  readonly sub?: string;
}

/** A bearer token as an identity provider would make it. */
export async function tokenFor(claims: Claims = {}, secret = JWT_SECRET): Promise<string> {
  return await new SignJWT({
    role: claims.role ?? 'operator',
    ...(claims.tenant === undefined ? {} : { tenant: claims.tenant }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(claims.sub ?? 'ada')
    .setIssuer('nightshift')
    .setAudience('nightshift')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(new TextEncoder().encode(secret));
}

export interface TestApi {
  readonly url: string;
  readonly store: TestStore;
  readonly producer: Producer;
  /** A request with a token of these claims; null: without one. */
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  /** Rows of the audit log that say this path was refused. */
  refusals(path: string): Promise<{ actor: string; status: number; code: string }[]>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly as?: Claims | null;
  readonly bearer?: string;
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly body: any;
}

export interface TestApiOptions {
  readonly workers?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly store?: TestStore;
  readonly jobs?: readonly DefinedJob[];
  /** What the jobs' notifications may name. */
  readonly templates?: readonly Template[];
  /** False: the API starts without FUNCTIONS_API_KEY. */
  readonly functionsKey?: boolean;
  /** Of wrong bearers and of wrong sign-ins. */
  readonly limits?: WrongCredentialLimits;
}

/** The tests come from one address, and are often wrong. */
const PATIENT: WrongCredentialLimits = { perAddress: 10_000, together: 10_000, windowMs: 60_000 };

/** The app on a free port over a store of its own, with workers behind it. */
export async function testApi(options: TestApiOptions = {}): Promise<TestApi> {
  const jobs = options.jobs ?? tinyJobs;
  const store = options.store ?? (await testStore());
  const engine: TestEngine | null =
    (options.workers ?? 0) > 0
      ? await testEngine({ jobs, templates: options.templates ?? [], store, workers: options.workers ?? 1 })
      : null;
  const log = pino({ level: process.env.NIGHTSHIFT_TEST_LOG ?? 'silent' });
  const env: Env = envSchema.parse({
    NODE_ENV: 'test', DATABASE_URL: store.databaseUrl, REDIS_URL: store.redisUrl, JWT_SECRET, CRON_SECRET, BOARD_PASSWORD, ...(options.functionsKey === false ? {} : { FUNCTIONS_API_KEY }),
    ...options.env,
  }); // biome-ignore format: variables
  const limits = options.limits ?? PATIENT;
  const catalogue = createCatalogue(jobs, options.templates);
  const shared = { redisUrl: store.redisUrl, namespace: store.namespace, log };
  const producer = createProducer({
    ...shared,
    encryptionKeys: TEST_ENCRYPTION_KEYS,
    databaseUrl: store.databaseUrl,
    catalogue,
  });
  const queues = createBoardQueues({ ...shared, queues: catalogue.queues.map((queue) => queue.name) });
  const server = createHttpServer(
    createApp({ env, producer, queues, log, version: '0.0.0-test', limits: { bearer: limits, signIn: limits } }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    store,
    producer,
    call: (method, path, call = {}) => send(`${url}${path}`, method, call),
    async refusals(path) {
      const { rows } = await store.admin.query<{ actor: string; status: number; code: string }>(
        `SELECT actor, (details->>'status')::int AS status, details->>'code' AS code FROM ops.audit_log
         WHERE action = 'request.refused' AND details->>'path' = $1 ORDER BY seq`,
        [path],
      );
      return rows;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all([producer.close(), queues.close(), engine?.close()]);
      if (options.store === undefined) await store.close();
    },
  };
}

async function send(url: string, method: string, call: CallOptions): Promise<Reply> {
  const as = call.as === undefined && call.bearer === undefined ? {} : call.as;
  const bearer = call.bearer ?? (as === null || as === undefined ? null : await tokenFor(as));
  const answer = await fetch(url, {
    method,
    redirect: 'manual',
    headers: {
      ...(bearer === null ? {} : { Authorization: `Bearer ${bearer}` }),
      ...(call.json === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...call.headers,
    },
    ...(call.json === undefined ? {} : { body: JSON.stringify(call.json) }),
    ...(call.body === undefined ? {} : { body: call.body as string }),
  });
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: answer.headers, text, body: isJson ? JSON.parse(text) : null };
}

/** A run id that nobody has. */
export const unknownId = (): string => randomUUID();
