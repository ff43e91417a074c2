import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProducer, type Producer } from './producer.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { createGate, tinyTask } from './testing/tiny.ts';

const gate = createGate();
const held = tinyTask('held', {
  async run(ctx) {
    await Promise.race([
      gate.pass(),
      new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
    ]);
    return null;
  },
});

let engine: TestEngine;
let other: Producer;
beforeAll(async () => {
  engine = await testEngine({ jobs: [held] });
  await engine.store.addTenant('tiny', 'one');
  const { databaseUrl, redisUrl, namespace } = engine.store;
  const { catalogue } = engine.producer;
  other = createProducer({ databaseUrl, redisUrl, namespace, catalogue, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await other.close();
  await engine.close();
});

test('a running run, and one that waits, are cancelled by a process that accepted neither', async () => {
  const accept = async (dueAt?: Date) =>
    (await engine.producer.accept({ job: held.name, tenant: 'one', input: { n: 1 }, dueAt }, 'test')).id;
  const running = await accept();
  await gate.reached;
  expect(await other.cancel(running, 'ada', null)).toBe('running');
  expect((await engine.producer.waitFor([running], { timeoutMs: 30_000 })).get(running)).toBe('cancelled');
  const waiting = await accept(new Date(Date.now() + 3_600_000));
  expect(await other.cancel(waiting, 'ada', null)).toBe('cancelled');
  expect((await engine.producer.waitFor([waiting], { timeoutMs: 30_000 })).get(waiting)).toBe('cancelled');
});
