import { defineJob, type RequestContext, type SqlClient } from '@nightshift/engine';
import { type FoundMedication, findMedications, findUsers } from './find-entities.ts';
import { interactionInput } from './inputs.ts';
import {
  allMedicines,
  type CheckedMedicine,
  findDuplicates,
  findInteractions,
  type Interaction,
  type InteractionRule,
  namesOf,
  worstOf,
} from './interactions.ts';
import { NoSuchEntityError } from './organisation.ts';
import { distinct } from './take-medications.ts';

const IN_FORCE = `
  SELECT table_version AS version FROM medication.interactions WHERE tenant_id = $1 ORDER BY loaded_at DESC, table_version DESC LIMIT 1`;

const RULES = `
  SELECT a_kind AS "aKind", a_name AS "aName", b_kind AS "bKind", b_name AS "bName", severity, effect, source
  FROM medication.interactions WHERE tenant_id = $1 AND table_version = $2 AND a_name = ANY ($3) AND b_name = ANY ($3)
  ORDER BY a_name, b_name, id`;

const ACTIVE = `
  SELECT taken.user_id AS "userId", m.id, m.name, m.ingredients, m.classes, m.properties FROM medication.user_medications AS taken
  JOIN medication.medications AS m ON m.tenant_id = taken.tenant_id AND m.id = taken.medication_id
  WHERE taken.tenant_id = $1 AND taken.user_id = ANY ($2::uuid[]) AND taken.status = 'active' ORDER BY m.name, m.id`;

const SAVE_CHECKS = `
  INSERT INTO medication.interaction_checks (tenant_id, run_id, user_id, checked_at, table_version, found, worst, complete)
  SELECT $1, c.run_id, c.user_id, $2, $3, c.found, c.worst, c.complete
  FROM unnest($4::uuid[], $5::uuid[], $6::integer[], $7::text[], $8::boolean[]) AS c(run_id, user_id, found, worst, complete)
  ON CONFLICT DO NOTHING`;

export const interactionCheck = defineJob({
  kind: 'request',
  name: 'medication.interaction-check',
  title: 'Interaction check',
  description:
    "Checks medications with each other and with the user's own against the organisation's interaction table.",
  scope: 'tenant',
  priority: 'CRITICAL',
  typicalMs: 1_000,
  maxMs: 10_000,
  input: interactionInput,
  inputVersion: 1,
  personalResult: true,
  async handle(ctx, runs) {
    const tenantId = ctx.tenant.id;
    const users = await findUsers(ctx.client, tenantId, distinct(runs.map((run) => run.input.user_id)));
    const names = distinct(runs.flatMap((run) => run.input.medications));
    const found = await findMedications(ctx.client, tenantId, names);
    const taken = await takenBy(ctx.client, tenantId, distinct([...users.values()].map((user) => user.id)));
    const cases = runs.map((run): Case | Refused => {
      const user = users.get(run.input.user_id);
      if (user === undefined) return { error: new NoSuchEntityError('user') };
      const medicines = allMedicines(asked(run.input.medications, found), taken.get(user.id) ?? []);
      const unresolved = distinct(run.input.medications.filter((name) => !found.has(name)));
      return { runId: run.runId, userId: user.id, medicines, unresolved };
    });
    const table = await loadTable(
      ctx.client,
      tenantId,
      cases.flatMap((one) => ('error' in one ? [] : one.medicines)),
    );
    const checks = cases.map((one) => ('error' in one ? one : { ...one, ...check(one, table) }));
    await saveChecks(
      ctx,
      table.version,
      checks.flatMap((one) => ('error' in one ? [] : [one])),
    );
    return checks.map((one) => ('error' in one ? one : { ok: one.answer }));
  },
});

interface Table {
  /** Null: the organisation has loaded none. */
  readonly version: string | null;
  readonly rules: readonly InteractionRule[];
}

/** The rules that may speak of these medicines, of the version in force. */
async function loadTable(client: SqlClient, tenantId: string, medicines: readonly CheckedMedicine[]): Promise<Table> {
  const inForce = await client.query<{ version: string }>(IN_FORCE, [tenantId]);
  const version = inForce.rows[0]?.version ?? null;
  if (version === null) return { version, rules: [] };
  const { rows } = await client.query<InteractionRule>(RULES, [
    tenantId,
    version,
    distinct(medicines.flatMap(namesOf)),
  ]);
  return { version, rules: rows };
}

async function takenBy(
  client: SqlClient,
  tenantId: string,
  userIds: readonly string[],
): Promise<Map<string, CheckedMedicine[]>> {
  const { rows } = await client.query<FoundMedication & { userId: string }>(ACTIVE, [tenantId, userIds]);
  const byUser = new Map<string, CheckedMedicine[]>();
  for (const { userId, ...medication } of rows) {
    const own = byUser.get(userId) ?? [];
    own.push(checked(medication.name, 'taken', medication));
    byUser.set(userId, own);
  }
  return byUser;
}

function asked(names: readonly string[], found: ReadonlyMap<string, FoundMedication>): CheckedMedicine[] {
  return names.flatMap((name) => {
    const medication = found.get(name);
    return medication === undefined ? [] : [checked(name, 'asked', medication)];
  });
}

function checked(given: string, origin: CheckedMedicine['origin'], { id, ...rest }: FoundMedication): CheckedMedicine {
  return { ...rest, given, origin, medicationId: id };
}

type Refused = { readonly error: Error };

interface Case {
  readonly runId: string;
  readonly userId: string;
  readonly medicines: readonly CheckedMedicine[];
  readonly unresolved: readonly string[];
}

function check({ medicines, unresolved }: Case, table: Table) {
  const interactions = findInteractions(medicines, table.rules);
  const complete = unresolved.length === 0 && table.version !== null;
  return {
    interactions,
    complete,
    answer: {
      table: table.version,
      conclusion: conclusion(table.version, interactions.length),
      complete,
      unresolved,
      interactions,
      duplicate_therapy: findDuplicates(medicines),
      medicines: medicines.map(({ given, origin, medicationId, name, ingredients }) => ({
        given,
        origin,
        medication_id: medicationId,
        name,
        ingredients,
      })),
    },
  };
}

/** Never "safe": a table only knows what was put into it. */
function conclusion(version: string | null, found: number): string {
  if (version === null) return 'nothing was checked: the organisation has no interaction table';
  return `${found === 0 ? 'none' : found} known in table ${version}`;
}

type Checked = {
  readonly runId: string;
  readonly userId: string;
  readonly interactions: readonly Interaction[];
  readonly complete: boolean;
};

async function saveChecks(ctx: RequestContext, version: string | null, checks: readonly Checked[]): Promise<void> {
  await ctx.client.query(SAVE_CHECKS, [
    ctx.tenant.id,
    ctx.now,
    version,
    checks.map((one) => one.runId),
    checks.map((one) => one.userId),
    checks.map((one) => one.interactions.length),
    checks.map((one) => worstOf(one.interactions)),
    checks.map((one) => one.complete),
  ]);
}
