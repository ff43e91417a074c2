import { z } from 'zod';
import { runOptionsSchema } from '../define-job.ts';
import { type FieldProblem, InvalidInputError } from '../errors.ts';
import { fieldProblems } from '../new-run.ts';
import { PRIORITIES } from '../priority.ts';
import { cronProblem, DST_RULES, zoneProblem } from './cron.ts';

const cron = z.string().max(100).describe('Five fields; six, seconds first, for an admin of the platform.');
const zone = z.string().max(64).describe('IANA name.');

const policy = {
  enabled: z.boolean().optional(),
  dst: z.enum(DST_RULES).optional().describe('A local time that the clock skips or repeats.'),
  misfire: z.enum(['skip', 'latest', 'all']).optional().describe('Instants that passed while nothing could fire them.'),
  misfireWithinMs: z.int().min(1_000).nullable().optional().describe('Longest lateness that is caught up; null: any.'),
  misfireSameDay: z.boolean().optional().describe('Catch up on the same local day only.'),
  overlap: z.enum(['skip', 'queue']).optional().describe('A tick while the earlier run of the tenant is still open.'),
  priority: z.enum(PRIORITIES).nullable().optional(),
  options: runOptionsSchema.optional(),
};

/** What a person may change of a schedule at run time. Times in ms. */
export const schedulePatchSchema = z.strictObject({
  cron: cron.optional(),
  zone: zone.optional(),
  ...policy,
  tenants: z
    .union([
      z.strictObject({ all: z.literal(true) }),
      z.strictObject({ only: z.array(z.uuid()).min(1).max(1_000) }),
      z.strictObject({ except: z.array(z.uuid()).min(1).max(1_000) }),
    ])
    .optional(),
});
export type SchedulePatch = z.input<typeof schedulePatchSchema>;

/** A tenant's own schedule for a job. */
export const ownScheduleSchema = z.strictObject({
  job: z.string().min(1).max(100),
  tenant: z.string().min(1).max(100).describe('Slug or id.'),
  cron,
  zone: zone.optional().describe("IANA name; default the tenant's."),
  ...policy,
});
export type OwnSchedule = z.input<typeof ownScheduleSchema>;

/** Who asks decides whether a cron may have seconds. */
export interface CronRights {
  /** True: six fields are allowed as well. Default false. */
  readonly seconds?: boolean;
}

/** The parsed value. Errors: `InvalidInputError` naming each field. */
export function checkedSchedule<Schema extends typeof schedulePatchSchema | typeof ownScheduleSchema>(
  schema: Schema,
  given: unknown,
  rights: CronRights,
): z.output<Schema> {
  const parsed = schema.safeParse(given);
  const problems = parsed.success ? timeProblems(parsed.data, rights) : fieldProblems(parsed.error);
  if (!parsed.success || problems.length > 0) throw invalidSchedule(problems);
  return parsed.data as z.output<Schema>;
}

function timeProblems(
  given: { cron?: string | undefined; zone?: string | undefined },
  rights: CronRights,
): FieldProblem[] {
  const sixFields = rights.seconds === true && given.cron?.trim().split(/\s+/).length === 6;
  return [
    { pointer: '/cron', detail: given.cron === undefined ? null : cronProblem(given.cron, sixFields ? 6 : 5) },
    { pointer: '/zone', detail: given.zone === undefined ? null : zoneProblem(given.zone) },
  ].flatMap(({ pointer, detail }) => (detail === null ? [] : [{ pointer, code: 'invalid', detail }]));
}

export function invalidSchedule(
  problems: readonly FieldProblem[],
  subject = 'The schedule cannot be changed so',
): InvalidInputError {
  return new InvalidInputError(subject, problems);
}
