export { type SendingSettings, senderOptions } from './notifications/channels.ts';
export { type RunningWorker, startWorker, type WorkerOptions } from './worker.ts';
