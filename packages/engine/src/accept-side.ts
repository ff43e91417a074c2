export type { Accepted, AcceptRequest } from './accept.ts';
export type { Alerts } from './alerts/answer-alert.ts';
export type { AlertCondition } from './alerts/raise-alert.ts';
export type { AuditEvent, Refusal } from './audit/append.ts';
export { redisOptions } from './broker.ts';
export { EXPLAIN_REASONS, type ExplainReason, type RunExplanation } from './explain.ts';
export { type JobLimits, jobLimitsPatchSchema, type Limits, limitsPatchSchema } from './limits/limits.ts';
export { PAUSE_KINDS, type PauseKind, type PauseView } from './limits/pauses.ts';
export { resendNotification } from './notifications/outbox.ts';
export { type PreferenceView, preferenceSchema, setPreference } from './notifications/preferences.ts';
export { createProducer, type Producer, type ProducerOptions } from './producer.ts';
export * from './query/index.ts';
export { cancelChannel, DEFAULT_NAMESPACE, queuePrefix, SCHEDULES_QUEUE } from './redis-names.ts';
export { RETRYABLE, type Retried, type RetryFilter } from './retry-many.ts';
export { isEnded, OPEN_STATES, RUN_OUTCOMES, type RunOutcome, type RunStatus } from './run-status.ts';
export type { BackFill, BackFillRequest, BackFillTick } from './schedule/back-fill.ts';
export type { PreviewRequest, PreviewTick } from './schedule/preview.ts';
export {
  type OwnSchedule,
  ownScheduleSchema,
  type SchedulePatch,
  schedulePatchSchema,
} from './schedule/schedule-input.ts';
export type { Schedules } from './schedule/schedules.ts';
export type { Cause, Started, StartedRun } from './start.ts';
export { storeErrors } from './store-errors.ts';
