import { firstOf, isResult, type LabResult, type LabSample, latestOf, type VlStatus, vlStatus } from './lab-result.ts';
import { addDays } from './local-days.ts';

export interface BaselineWindow {
  /** Days up to the ART start in which a result is the baseline. */
  readonly baselineBeforeDays: number;
  /** Days after it in which a first CD4 still is. */
  readonly baselineAfterDays: number;
}

export interface SummaryFacts {
  /** Start of the current, else of the latest ART enrollment; never in the future. */
  readonly artStartedOn: string | null;
  /** In order of the day drawn. */
  readonly labs: readonly LabSample[];
}

export interface ClinicalSummary {
  readonly baselineCd4: LabResult | null;
  readonly baselineVl: LabResult | null;
  readonly latestCd4: LabResult | null;
  readonly latestVl: LabResult | null;
  readonly vlStatus: VlStatus | null;
}

/** What the results of one client come to today. Errors: `UnreadableResultError`. */
export function clinicalSummary(facts: SummaryFacts, window: BaselineWindow, today: string): ClinicalSummary {
  const known = facts.labs.filter((lab): lab is LabResult => isResult(lab) && lab.drawnOn <= today);
  const cd4 = known.filter((lab) => lab.test === 'CD4');
  const vl = known.filter((lab) => lab.test === 'VL');
  const latestVl = latestOf(vl);
  return {
    baselineCd4: baselineCd4(cd4, facts.artStartedOn, window),
    baselineVl: beforeStart(vl, facts.artStartedOn, window),
    latestCd4: latestOf(cd4),
    latestVl,
    vlStatus: vlStatus(latestVl, today),
  };
}

/** The latest CD4 up to the ART start, else the first after it, each within its window. */
export function baselineCd4<Sample extends LabSample>(
  cd4: readonly Sample[],
  artStartedOn: string | null,
  window: BaselineWindow,
): Sample | null {
  if (artStartedOn === null) return null;
  const until = addDays(artStartedOn, window.baselineAfterDays);
  return (
    beforeStart(cd4, artStartedOn, window) ??
    firstOf(cd4.filter(({ drawnOn }) => drawnOn > artStartedOn && drawnOn <= until))
  );
}

function beforeStart<Sample extends LabSample>(
  samples: readonly Sample[],
  artStartedOn: string | null,
  { baselineBeforeDays }: BaselineWindow,
): Sample | null {
  if (artStartedOn === null) return null;
  const from = addDays(artStartedOn, -baselineBeforeDays);
  return latestOf(samples.filter(({ drawnOn }) => drawnOn >= from && drawnOn <= artStartedOn));
}
