import type { SweepContext } from '@nightshift/engine';

/** One kind of item of a sweep that has several, one after the other. */
export interface Phase<Input> {
  count(ctx: SweepContext<Input>): Promise<number>;
  /** Ids after `after`, in the order of their bytes. */
  page(ctx: SweepContext<Input>, after: string | null, limit: number): Promise<readonly string[]>;
  process(
    ctx: SweepContext<Input>,
    ids: readonly string[],
  ): Promise<{ readonly changed: number; readonly tally?: Readonly<Record<string, number>> }>;
}

export interface PhaseItem {
  readonly phase: number;
  readonly id: string;
}

/**
 * The item functions of a sweep over these phases; its keys are `<number of the phase>/<id>`. A phase is asked for its first page when the one
 * before has been processed, and so finds what that made.
 */
export function phased<Input>(phases: readonly Phase<Input>[]) {
  return {
    untilEmpty: true,
    async count(ctx: SweepContext<Input>): Promise<number> {
      let total = 0;
      for (const phase of phases) total += await phase.count(ctx);
      return total;
    },
    async items(ctx: SweepContext<Input>, after: string | null, limit: number): Promise<PhaseItem[]> {
      const [at, id] = position(after);
      for (let phase = at; phase < phases.length; phase++) {
        const ids = (await phases[phase]?.page(ctx, phase === at ? id : null, limit)) ?? [];
        if (ids.length > 0) return ids.map((one) => ({ phase, id: one }));
      }
      return [];
    },
    key: (item: PhaseItem) => `${item.phase}/${item.id}`,
    async process(ctx: SweepContext<Input>, items: readonly PhaseItem[]) {
      let changed = 0;
      const tally: Record<string, number> = {};
      for (const [i, phase] of phases.entries()) {
        const ids = items.filter((item) => item.phase === i).map((item) => item.id);
        if (ids.length === 0) continue;
        const done = await phase.process(ctx, ids);
        changed += done.changed;
        for (const [name, n] of Object.entries(done.tally ?? {})) tally[name] = (tally[name] ?? 0) + n;
      }
      return { changed, tally };
    },
  };
}

function position(after: string | null): [phase: number, id: string | null] {
  if (after === null) return [0, null];
  const slash = after.indexOf('/');
  return [Number(after.slice(0, slash)), after.slice(slash + 1)];
}
