import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createAnnouncer } from './announce.ts';
import { connectConsumer } from './redis-connect.ts';
import { endedChannel } from './redis-names.ts';
import { type TestStore, testStore } from './testing/test-store.ts';
import { until } from './testing/until.ts';

let store: TestStore;
let redis: Redis;
/** What was published on the channel, whoever listened. */
let published: string[];
let monitor: Redis;

beforeAll(async () => {
  store = await testStore();
  redis = new Redis(store.redisUrl);
  await redis.ping();
  published = [];
  monitor = await redis.monitor();
  monitor.on('monitor', (_time: string, [command, channel, message = '']: string[]) => {
    if (command === 'publish' && channel === endedChannel(store.namespace)) published.push(message);
  });
});
afterAll(async () => {
  monitor.disconnect();
  redis.disconnect();
  await store.close();
});

it('writes ends out for who listens alone, and for everybody who has begun to', async () => {
  const announce = createAnnouncer(redis, store.namespace);
  announce([['a', 'completed']]);
  await until('the first message', async () => published.length === 1);
  // Replies come in order: with this one the announcer knows that nobody heard it.
  await redis.ping();
  announce([['b', 'completed']]);
  await until('the second message', async () => published.length === 2);
  expect(published).toEqual(['[["a","completed"]]', '[]']);

  const heard: string[] = [];
  const listener = connectConsumer(store.redisUrl, pino({ level: 'silent' }));
  try {
    listener.on('message', (_channel, message) => heard.push(message));
    await listener.subscribe(endedChannel(store.namespace));
    announce([['c', 'failed']]);
    await until('the third end', async () => heard.includes('[["c","failed"]]'));
    announce([['d', 'completed']]);
    await until('the fourth end', async () => heard.includes('[["d","completed"]]'));
    expect(heard).toEqual(['[]', '[["c","failed"]]', '[["d","completed"]]']);
  } finally {
    listener.disconnect();
  }
});
