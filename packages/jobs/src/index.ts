import type { DefinedJob, Template } from '@nightshift/engine';
import { generateTasks } from './clinic/generate-tasks.job.ts';
import { refreshDashboard } from './clinic/refresh-dashboard.job.ts';
import { refreshSummaries } from './clinic/refresh-summaries.job.ts';
import { atRiskDetection } from './gym/at-risk-detection.job.ts';
import { coachActions } from './gym/coach-actions.job.ts';
import { commitmentScores } from './gym/commitment-scores.job.ts';
import { analyticsSnapshot } from './litigation/analytics-snapshot.job.ts';
import { automationHealthCheck } from './litigation/automation-health-check.job.ts';
import { checkSlaAndOverdue } from './litigation/check-sla-and-overdue.job.ts';
import { checkUpcomingDeadlines } from './litigation/check-upcoming-deadlines.job.ts';
import { sendHearingReminders } from './litigation/send-hearing-reminders.job.ts';
import { litigationTemplates } from './litigation/templates.ts';
import { analyticsRollUp } from './medication/analytics-roll-up.job.ts';
import { backup } from './medication/backup.job.ts';
import { interactionCheck } from './medication/interaction-check.job.ts';
import { medicationReminder } from './medication/medication-reminder.job.ts';
import { refillCheck } from './medication/refill-check.job.ts';
import { supplyMonitor } from './medication/supply-monitor.job.ts';
import { medicationTemplates } from './medication/templates.ts';
import { cleanupCache } from './zakat/cleanup-cache.job.ts';
import { generateReminders } from './zakat/generate-reminders.job.ts';
import { regenerateSummaries } from './zakat/regenerate-summaries.job.ts';

/** The catalogue: every job of every system. A job that is not in this list does not run, and a test says so. */
export const jobs = [
  refreshSummaries,
  generateTasks,
  refreshDashboard,
  commitmentScores,
  atRiskDetection,
  coachActions,
  medicationReminder,
  refillCheck,
  interactionCheck,
  supplyMonitor,
  analyticsRollUp,
  backup,
  cleanupCache,
  generateReminders,
  regenerateSummaries,
  checkSlaAndOverdue,
  sendHearingReminders,
  analyticsSnapshot,
  checkUpcomingDeadlines,
  automationHealthCheck,
] as readonly DefinedJob[];

/** The templates of every system's notifications. */
export const templates = [...litigationTemplates, ...medicationTemplates] as readonly Template[];
