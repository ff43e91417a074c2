import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { summaryRows } from './client-rows.ts';
import { clinicalSummary } from './clinical-summary.ts';
import { clientPages, readFacility } from './facility.ts';
import type { LabResult } from './lab-result.ts';

const COLUMNS = [
  'art_started_on',
  ...['baseline_cd4', 'baseline_vl', 'latest_cd4', 'latest_vl'].flatMap((name) => [
    `${name}_comparator`,
    name,
    `${name}_on`,
  ]),
  'vl_status',
  'arv_regimen_id',
  'prep_regimen_id',
];

/** A summary that stays the same is not written: `refreshed_at` tells since when it is what it is. */
const SAVE_SUMMARIES = `
  INSERT INTO clinic.clinical_summaries AS summary (tenant_id, client_id, ${COLUMNS.join(', ')}, refreshed_at)
  SELECT $1, made.*, $3 FROM unnest($2::uuid[], $4::date[], $5::text[], $6::int[], $7::date[], $8::text[], $9::int[], $10::date[],
    $11::text[], $12::int[], $13::date[], $14::text[], $15::int[], $16::date[], $17::text[], $18::uuid[], $19::uuid[]) AS made
  ON CONFLICT (tenant_id, client_id) DO UPDATE SET
    ${COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}, refreshed_at = excluded.refreshed_at
  WHERE (${COLUMNS.map((column) => `summary.${column}`).join(', ')}) IS DISTINCT FROM (${COLUMNS.map((column) => `excluded.${column}`).join(', ')})`;

export const refreshSummaries = defineJob({
  kind: 'sweep',
  name: 'clinic.refresh-summaries',
  title: 'Refresh clinical summaries',
  description:
    "Works out each client's baseline and latest CD4 and viral load, viral load status and current regimens.",
  scope: 'tenant',
  priority: 'MEDIUM',
  schedule: { cron: '0 2 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  ...clientPages('all'),
  async process(ctx, clients) {
    const facility = await readFacility(ctx);
    const rows = await summaryRows(
      ctx.client,
      facility,
      clients.map(({ id }) => id),
    );
    const made = rows.map((row) => ({ ...row, ...clinicalSummary(row, facility, facility.today) }));
    const results = (of: (one: (typeof made)[number]) => LabResult | null) => [
      made.map((one) => of(one)?.comparator ?? null),
      made.map((one) => of(one)?.value ?? null),
      made.map((one) => of(one)?.drawnOn ?? null),
    ];
    const { rowCount } = await ctx.client.query(SAVE_SUMMARIES, [
      facility.id,
      made.map(({ id }) => id),
      ctx.now,
      made.map(({ artStartedOn }) => artStartedOn),
      ...results((one) => one.baselineCd4),
      ...results((one) => one.baselineVl),
      ...results((one) => one.latestCd4),
      ...results((one) => one.latestVl),
      made.map(({ vlStatus }) => vlStatus),
      made.map(({ arvRegimenId }) => arvRegimenId),
      made.map(({ prepRegimenId }) => prepRegimenId),
    ]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ processed, changed }) => ({ clientsProcessed: processed, summariesUpdated: changed }),
});
