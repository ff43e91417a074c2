import type { SqlClient, SweepContext, SweepForm, TenantsAsk } from '@nightshift/engine';
import { type Dose, type DosePlan, dosesBetween, nextDose } from './dose-times.ts';
import { parseFrequency } from './frequency.ts';
import { notifyUsers, RECIPIENT_COLUMNS, type Recipient, silence } from './message-to.ts';
import { inZone, organisationOf, UnreadableRowError } from './organisation.ts';
import { doseReminder } from './templates.ts';

/** A dose seen later than this is recorded and not told: who takes it then and the next one in time takes double (SPEC 3.4). */
export const LATEST_MS = 60 * 60_000;
/** Doses further back than this are not recorded any more after a long outage. */
const LOOK_BACK_MS = 31 * 86_400_000;

const DUE = `medication.dose_schedules AS plan
  JOIN medication.user_medications AS taken ON taken.tenant_id = plan.tenant_id AND taken.id = plan.user_medication_id AND taken.status = 'active'
  JOIN medication.users AS u ON u.tenant_id = taken.tenant_id AND u.id = taken.user_id AND u.active`;

interface DueSchedule extends Recipient {
  readonly id: string;
  readonly userMedicationId: string;
  readonly frequency: string;
  readonly times: readonly string[];
  readonly startsOn: string;
  readonly endsOn: string | null;
  readonly lookFrom: Date;
  readonly zone: string;
  readonly medicine: string;
  readonly dose: string | null;
}

/** Organisations in which a dose is due, or a plan changed and has to be looked at. */
export async function organisationsWithDoses({ client, now }: TenantsAsk): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT DISTINCT plan.tenant_id AS id FROM ${DUE} WHERE plan.active AND plan.next_due_at <= $1`,
    [now],
  );
  return rows.map((row) => row.id);
}

/** Every schedule that has to be looked at, with the doses that fell due since it was looked at last. */
export const dueDoses: SweepForm<DueSchedule> = {
  async count(ctx) {
    const { rows } = await ctx.client.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${DUE} WHERE plan.tenant_id = $1 AND plan.active AND plan.next_due_at <= $2`,
      [organisationOf(ctx).id, ctx.now],
    );
    return rows[0]?.count ?? 0;
  },
  async items(ctx, after, limit) {
    // Locked, so that a plan that changes meanwhile is looked at after this.
    const { rows } = await ctx.client.query<DueSchedule>(
      `SELECT plan.id, plan.user_medication_id AS "userMedicationId", plan.frequency, plan.times, plan.starts_on::text AS "startsOn",
         plan.ends_on::text AS "endsOn", plan.next_due_at AS "lookFrom", u.zone, m.name AS medicine, taken.dose, ${RECIPIENT_COLUMNS}
       FROM ${DUE} JOIN medication.medications AS m ON m.tenant_id = taken.tenant_id AND m.id = taken.medication_id
       WHERE plan.tenant_id = $1 AND plan.active AND plan.next_due_at <= $2 AND ($3::uuid IS NULL OR plan.id > $3)
       ORDER BY plan.id LIMIT $4 FOR UPDATE OF plan`,
      [organisationOf(ctx).id, ctx.now, after, limit],
    );
    return rows;
  },
  key: (schedule) => schedule.id,
  async process(ctx, schedules) {
    const looked = schedules.map((schedule) => look(schedule, ctx.now));
    const doses = looked.flatMap(({ doses }) => doses);
    const fresh = await saveReminders(ctx.client, organisationOf(ctx).id, doses);
    const sent = fresh.filter(({ state }) => state === 'sent');
    await notifyUsers(ctx, organisationOf(ctx).id, sent.map(reminderMessage));
    await savePlans(ctx, looked);
    return {
      changed: fresh.length,
      tally: {
        sent: sent.length,
        missed: fresh.filter(({ state }) => state === 'missed').length,
        muted: fresh.filter(({ state }) => state === 'muted').length,
      },
    };
  },
  summarize: ({ processed, tally }) => ({
    schedulesProcessed: processed,
    remindersSent: tally.sent ?? 0,
    dosesMissed: tally.missed ?? 0,
    dosesMuted: tally.muted ?? 0,
  }),
};

interface DueDose extends Dose {
  readonly schedule: DueSchedule;
  readonly state: 'sent' | 'missed' | 'muted';
  readonly reason: string | null;
}

interface Looked {
  readonly schedule: DueSchedule;
  readonly doses: readonly DueDose[];
  readonly next: Dose | null;
}

/** Errors: `UnreadableRowError`. */
function look(schedule: DueSchedule, now: Date): Looked {
  const plan = planOf(schedule);
  const from = new Date(Math.max(schedule.lookFrom.getTime(), now.getTime() - LOOK_BACK_MS));
  return inZone(schedule.zone, () => ({
    schedule,
    doses: dosesBetween(plan, schedule.zone, from, now).map((dose) => ({
      ...dose,
      schedule,
      ...judge(dose, schedule, now),
    })),
    next: nextDose(plan, schedule.zone, now),
  }));
}

function planOf(schedule: DueSchedule): DosePlan {
  const frequency = parseFrequency(schedule.frequency);
  if (frequency === null)
    // Not quoted: what somebody takes and when is health data.
    throw new UnreadableRowError(
      `the frequency of the dose schedule is unknown`,
      'use daily, weekdays:…, every_n_days:n or as_needed',
    );
  return { ...schedule, frequency };
}

function judge(dose: Dose, user: Recipient, now: Date): Pick<DueDose, 'state' | 'reason'> {
  if (now.getTime() - dose.dueAt.getTime() > LATEST_MS) return { state: 'missed', reason: 'more than an hour late' };
  const reason = silence(user);
  return reason === null ? { state: 'sent', reason } : { state: 'muted', reason };
}

/** Doses that had no row yet. The key is the local date and time: a changed zone or plan never reminds of the same dose again. */
async function saveReminders(client: SqlClient, tenantId: string, doses: readonly DueDose[]): Promise<DueDose[]> {
  if (doses.length === 0) return [];
  const { rows } = await client.query<{ key: string }>(
    `INSERT INTO medication.reminders (tenant_id, user_medication_id, dose_date, dose_time, due_at, state, reason)
     SELECT $1, d.* FROM unnest($2::uuid[], $3::date[], $4::text[], $5::timestamptz[], $6::text[], $7::text[]) AS d
     ON CONFLICT ON CONSTRAINT reminders_once DO NOTHING
     RETURNING user_medication_id || ' ' || dose_date || ' ' || dose_time AS key`,
    [
      tenantId,
      doses.map((dose) => dose.schedule.userMedicationId),
      doses.map((dose) => dose.date),
      doses.map((dose) => dose.time),
      doses.map((dose) => dose.dueAt),
      doses.map((dose) => dose.state),
      doses.map((dose) => dose.reason),
    ],
  );
  const made = new Set(rows.map((row) => row.key));
  return doses.filter(({ schedule, date, time }) => made.has(`${schedule.userMedicationId} ${date} ${time}`));
}

function reminderMessage({ schedule, date, time, dueAt }: DueDose) {
  const named = schedule.namesInTexts;
  const message = {
    dedupeKey: `dose:${schedule.userMedicationId}:${date}T${time}`,
    template: doseReminder.name,
    data: { time, medicine: named ? schedule.medicine : null, dose: named ? schedule.dose : null },
    notAfter: new Date(dueAt.getTime() + LATEST_MS),
  };
  return { user: schedule, message };
}

async function savePlans(ctx: SweepContext<unknown>, looked: readonly Looked[]): Promise<void> {
  await ctx.client.query(
    `UPDATE medication.dose_schedules AS plan SET next_due_at = seen.next
     FROM unnest($2::uuid[], $3::timestamptz[]) AS seen(id, next) WHERE plan.tenant_id = $1 AND plan.id = seen.id`,
    [organisationOf(ctx).id, looked.map(({ schedule }) => schedule.id), looked.map(({ next }) => next?.dueAt ?? null)],
  );
}
