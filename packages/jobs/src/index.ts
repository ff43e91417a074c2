import type { DefinedJob, Template } from '@nightshift/engine';
import { atRiskDetection } from './gym/at-risk-detection.job.ts';
import { coachActions } from './gym/coach-actions.job.ts';
import { commitmentScores } from './gym/commitment-scores.job.ts';
import { cleanupCache } from './zakat/cleanup-cache.job.ts';
import { generateReminders } from './zakat/generate-reminders.job.ts';
import { regenerateSummaries } from './zakat/regenerate-summaries.job.ts';

/** The catalogue: every job of every system. A job that is not in this list does not run, and a test says so. */
export const jobs = [
  commitmentScores,
  atRiskDetection,
  coachActions,
  cleanupCache,
  generateReminders,
  regenerateSummaries,
] as readonly DefinedJob[];

/** The templates of every system's notifications. */
export const templates: readonly Template[] = [];
