// SQL that finds a run's payload from its history row (or `run_view`), `run` being that one's alias. The view `ops.run_payloads` says the same, but as
// the optional side of a join it may be made of all runs before the few are picked.

/** The row that has it, as `p`: to be joined. */
export const payloadOf = (run: string) =>
  `ops.payloads p ON p.id = ${run}.payload_id AND p.tenant_id = ${run}.tenant_id`;
export const inputOf = (run: string) => `p.inputs[array_position(p.runs, ${run}.id)]`;
export const resultOf = (run: string) => `p.results[array_position(p.runs, ${run}.id)]`;
