export { type AlertFilter, type AlertView, findAlert, listAlerts } from './alerts.ts';
export { type AttemptView, type FailureView, firstFailures, listAttempts, listFailures } from './attempts.ts';
export { type AuditFilter, type AuditView, listAudit, listRunAudit } from './audit.ts';
export { findFollowUps, waitWithFollowUps } from './follow-ups.ts';
export {
  listNotifications,
  listPreferences,
  NOTIFICATION_CHANNELS,
  NOTIFICATION_STATES,
  type NotificationFilter,
  type NotificationState,
  type NotificationStatistics,
  type NotificationView,
  notificationStatistics,
} from './notifications.ts';
export {
  generatedTasks,
  type JobStatistics,
  jobStatistics,
  listTenants,
  liveWorkers,
  type QueueDepth,
  queueDepths,
  type TenantView,
  type TickStatistics,
  tickStatistics,
  type WorkerView,
} from './platform.ts';
export { listPauses, listProbes, listQueues, type QueueProbe, type QueueView } from './queues.ts';
export { isStoreUnavailable, type Page, type PageRequest, type Pools } from './read.ts';
export { findRun, findRuns, listRuns, type RunDetail, type RunFilter, type RunView } from './runs.ts';
export {
  findSchedule,
  listSchedules,
  listTicks,
  pageSchedules,
  type ScheduleFilter,
  type ScheduleView,
  type TickView,
} from './schedules.ts';
export { findTenantDetail, type JobSettingView, listJobSettings, type TenantDetail } from './settings.ts';
