import { BACKUP_TYPES, STORAGE_TYPES, storagePathSchema } from '@nightshift/backup';
import { ROLLUP_METRICS } from '@nightshift/db/medication';
import { personal } from '@nightshift/engine';
import { z } from 'zod';
import { parseFrequency } from './frequency.ts';

// The bodies of the seed's paths; whom they are about and what is taken is health data, so it is marked personal.

const reference = z.string().trim().min(1).max(100);
const user = personal(reference).describe('Id of the user, or their number in the organisation.');
const medication = personal(reference).describe('Id or name of a medication of the organisation.');

const frequency = z
  .string()
  .max(100)
  .refine((text) => parseFrequency(text) !== null, {
    error: 'must be daily, weekdays:mon,wed,…, every_n_days:1…365 or as_needed',
  });
const time = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: "must be a time like 08:00, on the user's clock" });

const doseSchedule = z
  .strictObject({
    frequency,
    times: z.array(time).max(24).describe("HH:MM on the user's clock."),
  })
  .refine((schedule) => schedule.times.length > 0 || schedule.frequency === 'as_needed', {
    error: 'needs a time, unless it is as_needed',
    path: ['times'],
  });

export const reminderInput = z
  .strictObject({ user_id: user, medication_id: medication, schedule: personal(doseSchedule) })
  .meta({ id: 'MedicationReminder' });

/** Postgres keeps three decimals; a fourth would be rounded away unseen. */
const supply = z
  .number()
  .min(0)
  .max(100_000_000)
  .refine((units) => Math.abs(units * 1_000 - Math.round(units * 1_000)) < 1e-6, {
    error: 'must have at most three decimals',
  });

export const refillInput = z
  .strictObject({ user_id: user, medication_id: medication, current_supply: personal(supply) })
  .meta({ id: 'RefillCheck' });

const medications = z.array(z.string().trim().min(1).max(200)).max(100);

export const interactionInput = z
  .strictObject({
    user_id: user,
    medications: personal(medications.min(1)).describe('Ids, names, brands or ingredients.'),
  })
  .meta({ id: 'InteractionCheck' });

export const supplyInput = z
  .strictObject({
    user_id: user,
    medications: personal(medications).describe("Ids or names; none: all of the user's."),
  })
  .meta({ id: 'SupplyMonitor' });

/** Days of one range; a little more for the hour that a change of the clock adds. */
export const MOST_ROLLUP_DAYS = 366;
const LONGEST_RANGE_MS = (MOST_ROLLUP_DAYS * 24 + 1) * 3_600_000;

const edge = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })], {
    error: 'must be ISO 8601: a date, or a time with its offset',
  })
  .describe("A date is midnight in the organisation's zone.");

const timeRange = z
  .strictObject({ start: edge, end: edge })
  .refine(({ start, end }) => Date.parse(start) < Date.parse(end), { error: 'must be after start', path: ['end'] })
  .refine(({ start, end }) => Date.parse(end) - Date.parse(start) <= LONGEST_RANGE_MS, {
    error: `must be at most ${MOST_ROLLUP_DAYS} days after start`,
    path: ['end'],
  });

export const rollUpInput = z
  .strictObject({ time_range: timeRange, metrics_types: z.array(z.enum(ROLLUP_METRICS)).min(1).max(20) })
  .meta({ id: 'AnalyticsRollUp' });

export const backupInput = z
  .strictObject({
    backup_type: z
      .enum(BACKUP_TYPES)
      .default('full')
      .describe(
        'full: everything; incremental: what changed since the last one in this storage; tenant: one organisation',
      ),
    storage_config: z
      .strictObject({
        type: z.enum(STORAGE_TYPES).default('local'),
        path: storagePathSchema.default('').describe('Below BACKUP_ROOT or in the bucket, such as nightly'),
      })
      .prefault({}),
  })
  .meta({ id: 'Backup' });
