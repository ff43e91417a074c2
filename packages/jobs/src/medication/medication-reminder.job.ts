import { defineJob, localDate, type RequestContext } from '@nightshift/engine';
import type { z } from 'zod';
import { type DosePlan, nextDose } from './dose-times.ts';
import { dueDoses, LATEST_MS, organisationsWithDoses } from './due-doses.ts';
import { frequencyText, parseFrequency } from './frequency.ts';
import { reminderInput } from './inputs.ts';
import { inZone } from './organisation.ts';
import { type Taken, takeMedications } from './take-medications.ts';

/** Instants named in an answer. */
const SHOWN_REMINDERS = 3;

// The interval of `every_n_days` goes on being counted from its first day while only the times change.
const SAVE_SCHEDULES = `
  INSERT INTO medication.dose_schedules AS plan (tenant_id, user_medication_id, frequency, times, starts_on)
  SELECT $1, g.user_medication_id, g.frequency, string_to_array(g.times, ','), g.today
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::date[]) AS g(user_medication_id, frequency, times, today)
  ORDER BY g.user_medication_id
  ON CONFLICT ON CONSTRAINT dose_schedules_once DO UPDATE SET frequency = excluded.frequency, times = excluded.times, active = true, ends_on = NULL,
    starts_on = CASE WHEN plan.frequency = excluded.frequency AND plan.active THEN plan.starts_on ELSE excluded.starts_on END
  WHERE (plan.frequency, plan.times, plan.active, plan.ends_on) IS DISTINCT FROM (excluded.frequency, excluded.times, true, NULL)`;

const READ_SCHEDULES = `
  SELECT user_medication_id AS id, starts_on::text AS "startsOn" FROM medication.dose_schedules
  WHERE tenant_id = $1 AND user_medication_id = ANY ($2::uuid[])`;

export const medicationReminder = defineJob({
  kind: 'request',
  name: 'medication.medication-reminder',
  title: 'Medication reminder',
  description: 'Sets when a user is reminded of a dose; each minute reminds of the doses that are due, once.',
  scope: 'tenant',
  priority: 'CRITICAL',
  schedule: {
    cron: '* * * * *',
    zone: 'UTC',
    misfire: { policy: 'latest', within: LATEST_MS },
    overlap: 'skip',
    tenants: organisationsWithDoses,
  },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: reminderInput,
  inputVersion: 1,
  personalResult: true,
  decrypts: true,
  options: { batchSize: 500, batchDelayMs: 0 },
  sweep: dueDoses,
  async handle(ctx, runs) {
    const taken = await takeMedications(
      ctx.client,
      ctx.tenant.id,
      runs.map((run) => run.input),
    );
    const asked = runs.map((run, i) => askedSchedule(run.input, taken[i]));
    const startsOn = await saveSchedules(ctx, asked);
    return asked.map((one) => ('error' in one ? one : { ok: answer(one, startsOn, ctx.now) }));
  },
});

interface Asked {
  readonly taken: Taken;
  readonly frequency: string;
  readonly times: readonly string[];
}

function askedSchedule(
  input: z.output<typeof reminderInput>,
  taken: Taken | { readonly error: Error } | undefined,
): Asked | { readonly error: Error } {
  const frequency = parseFrequency(input.schedule.frequency);
  if (taken === undefined || frequency === null) throw new TypeError('a run without its row');
  if ('error' in taken) return taken;
  const times = frequency.kind === 'as_needed' ? [] : [...new Set(input.schedule.times)].sort();
  return { taken, frequency: frequencyText(frequency), times };
}

/** First days of the schedules, by row. Of two for one row in a bundle the later one counts: it was asked later. */
async function saveSchedules(
  ctx: RequestContext,
  asked: readonly (Asked | { readonly error: Error })[],
): Promise<Map<string, string>> {
  const last = new Map(asked.flatMap((one) => ('error' in one ? [] : [[one.taken.userMedicationId, one] as const])));
  const wanted = [...last.values()];
  await ctx.client.query(SAVE_SCHEDULES, [
    ctx.tenant.id,
    wanted.map(({ taken }) => taken.userMedicationId),
    wanted.map(({ frequency }) => frequency),
    wanted.map(({ times }) => times.join(',')),
    wanted.map(({ taken }) => inZone(taken.user.zone, () => localDate(ctx.now, taken.user.zone))),
  ]);
  const { rows } = await ctx.client.query<{ id: string; startsOn: string }>(READ_SCHEDULES, [
    ctx.tenant.id,
    [...last.keys()],
  ]);
  return new Map(rows.map((row) => [row.id, row.startsOn]));
}

function answer({ taken, frequency, times }: Asked, startsOn: ReadonlyMap<string, string>, now: Date) {
  const { zone } = taken.user;
  const parsed = parseFrequency(frequency) ?? { kind: 'as_needed' };
  const plan: DosePlan = {
    frequency: parsed,
    times,
    startsOn: startsOn.get(taken.userMedicationId) ?? '',
    endsOn: null,
  };
  const next: string[] = [];
  for (let dose = nextDose(plan, zone, now); dose !== null && next.length < SHOWN_REMINDERS; ) {
    next.push(dose.dueAt.toISOString());
    dose = nextDose(plan, zone, dose.dueAt);
  }
  return { frequency, times, zone, next_reminders: next };
}
