import type { DefinedJob, Template } from '@nightshift/engine';
import { generateTasks } from './clinic/generate-tasks.job.ts';
import { refreshDashboard } from './clinic/refresh-dashboard.job.ts';
import { refreshSummaries } from './clinic/refresh-summaries.job.ts';
import { atRiskDetection } from './gym/at-risk-detection.job.ts';
import { coachActions } from './gym/coach-actions.job.ts';
import { commitmentScores } from './gym/commitment-scores.job.ts';
import { backup } from './medication/backup.job.ts';
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
  backup,
  cleanupCache,
  generateReminders,
  regenerateSummaries,
] as readonly DefinedJob[];

/** The templates of every system's notifications. */
export const templates: readonly Template[] = [];
