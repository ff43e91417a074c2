import type { DefinedJob, Template } from '@nightshift/engine';
import { generateTasks } from './clinic/generate-tasks.job.ts';
import { refreshDashboard } from './clinic/refresh-dashboard.job.ts';
import { refreshSummaries } from './clinic/refresh-summaries.job.ts';
import { atRiskDetection } from './gym/at-risk-detection.job.ts';
import { coachActions } from './gym/coach-actions.job.ts';
import { commitmentScores } from './gym/commitment-scores.job.ts';

/** The catalogue: every job of every system. A job that is not in this list does not run, and a test says so. */
export const jobs = [
  refreshSummaries,
  generateTasks,
  refreshDashboard,
  commitmentScores,
  atRiskDetection,
  coachActions,
] as readonly DefinedJob[];

/** The templates of every system's notifications. */
export const templates: readonly Template[] = [];
