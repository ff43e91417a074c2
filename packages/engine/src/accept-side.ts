export type { Accepted, AcceptRequest } from './accept.ts';
export type { AuditEvent, Refusal } from './audit/append.ts';
export { redisOptions } from './broker.ts';
export { createProducer, type Producer, type ProducerOptions } from './producer.ts';
export * from './query/index.ts';
export { cancelChannel, DEFAULT_NAMESPACE, queuePrefix, SCHEDULES_QUEUE } from './redis-names.ts';
export { isEnded, OPEN_STATES, RUN_OUTCOMES, type RunOutcome, type RunStatus } from './run-status.ts';
export { type SchedulePatch, schedulePatchSchema } from './schedule/schedules.ts';
export type { Cause, Started, StartedRun } from './start.ts';
