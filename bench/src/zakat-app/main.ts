/**
 * An application as the zakat document has it: an HTTP server with the jobs in its own process, which ends on SIGTERM. Over IPC it is told
 * what to call, and answers.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getJobStatus, initializeJobs, stopAllJobs, triggerJob } from '@nightshift/worker/zakat';

export type CallName = keyof typeof functions;

export interface CallOfApplication {
  readonly id: number;
  readonly name: CallName;
  readonly args: readonly unknown[];
}

export interface AnswerOfApplication {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

const functions = { initializeJobs, stopAllJobs, triggerJob, getJobStatus };

async function answer({ id, name, args }: CallOfApplication): Promise<AnswerOfApplication> {
  const called = functions[name] as (...given: readonly unknown[]) => unknown;
  try {
    return { id, result: await called(...args) };
  } catch (error) {
    return { id, error: (error as Error).message };
  }
}

const server = createServer((_request, response) => response.end('ok'));
server.listen(0, '127.0.0.1', async () => {
  await initializeJobs();
  process.send?.({ ready: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
process.on('message', async (call: CallOfApplication) => process.send?.(await answer(call)));
// Whoever started it is gone.
const abandon = () => process.exit(1);
process.once('disconnect', abandon);
process.once('SIGTERM', async () => {
  server.close();
  await stopAllJobs();
  process.off('disconnect', abandon);
  // The channel is the last thing that holds the process.
  process.disconnect();
});
