// SQL that finds a run's payload from its history row (or `run_view`), `run` being that one's alias. The view `ops.run_payloads` says the same, but as
// the optional side of a join it may be made of all runs before the few are picked.

/** The row that has it, as `p`: to be joined. */
export const payloadOf = (run: string) =>
  `ops.payloads p ON p.id = ${run}.payload_id AND p.tenant_id = ${run}.tenant_id`;
export const inputOf = (run: string) => `p.inputs[array_position(p.runs, ${run}.id)]`;
export const resultOf = (run: string) => `p.results[array_position(p.runs, ${run}.id)]`;
/** False: the week that held its input has been dropped. A run without a payload was given `{}`, if its week is still there. */
export const inputKept = (run: string) =>
  `(p.id IS NOT NULL OR (${run}.payload_id IS NULL AND to_regclass('ops.payloads_' || to_char(${run}.accepted_at AT TIME ZONE 'UTC', 'IYYY"w"IW')) IS NOT NULL))`;
/** Why such a run cannot be done again. */
export const INPUT_DROPPED = 'its input is past its retention, so it cannot be done again.';
