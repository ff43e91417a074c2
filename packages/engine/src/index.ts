export type { FieldCrypto, FieldRef } from '@nightshift/db/crypto';
export type { JobAlert, JobAlerts } from './alerts/job-alerts.ts';
export { type Catalogue, createCatalogue } from './catalogue.ts';
export { nearest } from './check-declaration.ts';
export { personal } from './crypto/personal.ts';
export {
  DEFAULT_OPTIONS,
  type DefinedJob,
  defineJob,
  type FollowUp,
  type FollowUpRequest,
  type Job,
  type JobKind,
  jobForInput,
  type RequestContext,
  type RequestJob,
  type RequestResult,
  type RequestRun,
  type RunOptions,
  runOptionsSchema,
  type ScheduleDeclaration,
  type Scope,
  type SqlClient,
  type SweepContext,
  type SweepForm,
  type SweepJob,
  type SweepTotals,
  type TaskContext,
  type TaskJob,
  type TaskTransaction,
  type TenantRef,
  type TenantsAsk,
} from './define-job.ts';
export * from './errors.ts';
export type { JobLimits, Limits } from './limits/limits.ts';
export { Html, html } from './notifications/html.ts';
export { NotificationCapError, UnknownTemplateError } from './notifications/notification-errors.ts';
export type { ChannelName, NewNotification, Notified, Notify } from './notifications/notify.ts';
export {
  defineTemplate,
  type Rendered,
  render,
  type Template,
  type WhatsAppTemplate,
} from './notifications/template.ts';
export { type RetryPolicy, retryDelayMs, retryPolicy } from './policy.ts';
export { PRIORITIES, type Priority, priorityName, priorityNumber, WAITING_BOUND_MS } from './priority.ts';
export { cronProblem, localDate, localInstant, nextInstant, zoneProblem } from './schedule/cron.ts';
