import type { Measure } from './measures/index.ts';
import type { SystemName } from './system.ts';

export interface Turn {
  readonly measure: Measure;
  readonly system: SystemName;
}

/**
 * What a round does, in order: measure by measure, and within each system by system, so that what is compared ran within minutes.
 * Measures of one system that are compared with each other take turns, and the next round in the other order: a shared machine is another one after minutes.
 */
export function turnsOf(
  round: number,
  chosen: { measures: readonly Measure[]; systems: readonly SystemName[] },
): Turn[] {
  const due = chosen.measures.filter(({ once }) => round === 1 || !once);
  return groupsOf(due).flatMap((group) => {
    const ordered = round % 2 === 1 ? group : group.toReversed();
    const systems = [...new Set(group.flatMap((measure) => measure.systems))];
    return systems
      .filter((system) => chosen.systems.includes(system))
      .flatMap((system) =>
        ordered.filter((measure) => measure.systems.includes(system)).map((measure) => ({ measure, system })),
      );
  });
}

/** A measure, and behind it those that are compared with it. */
function groupsOf(measures: readonly Measure[]): Measure[][] {
  const groups: Measure[][] = [];
  for (const measure of measures) {
    const group = groups.find(([first]) => first !== undefined && first.name === measure.beside);
    if (group === undefined) groups.push([measure]);
    else group.push(measure);
  }
  return groups;
}
