// A producer's or a worker's process of the peer benchmark: does what its parent asks over IPC, and tells it what its handlers began.
import { type Consumer, consumerCalls, producerCalls } from './peers/roles.ts';
import { loadDriver } from './peers/systems/index.ts';
import { type FromRole, OPENED, type ToRole } from './peers/wire.ts';

let calls: object | null = null;

function tell(message: FromRole): void {
  process.send?.(message);
}

function tellProgress(consumer: Consumer, everyMs: number): void {
  let told = -1;
  setInterval(() => {
    const progress = consumer.tally.progress();
    if (progress.handled === told) return;
    told = progress.handled;
    tell({ type: 'progress', progress });
  }, everyMs).unref();
}

async function open(message: ToRole & { type: 'open' }): Promise<void> {
  const driver = await loadDriver(message.system);
  if (message.role === 'producer') {
    calls = await producerCalls(driver, message.target);
    return;
  }
  const consumer = consumerCalls(driver, message.target);
  calls = consumer;
  tellProgress(consumer, message.tellEveryMs);
}

async function answer(message: ToRole): Promise<unknown> {
  if (message.type === 'open') return open(message);
  const call = (calls as Record<string, unknown> | null)?.[message.name];
  if (typeof call !== 'function') throw new Error(`this process has no call '${message.name}'`);
  return call(...message.args);
}

process.on('message', (message: ToRole) => {
  const id = message.type === 'open' ? OPENED : message.id;
  answer(message).then(
    (value) => tell({ type: 'answer', id, value, error: null }),
    (error: Error) => tell({ type: 'answer', id, value: null, error: error.stack ?? String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
