import type { SweepContext } from '@nightshift/engine';
import type { SnapshotRecord } from './changed-snapshots.ts';
import { completion, parseAmount } from './completion.ts';
import { dayNumber, toHijri } from './hijri.ts';

type Crypto = Pick<SweepContext<unknown>['crypto'], 'encryptAll' | 'decryptAll'>;

/** A summary ready to be written: amounts are envelopes again. */
export interface AnnualSummary {
  readonly tenantId: string;
  readonly snapshotId: string;
  readonly hijriYear: number;
  readonly currency: string;
  readonly zakatDueEnc: string;
  readonly paidEnc: string;
  readonly payments: number;
  readonly percent: string | null;
  readonly revision: string;
}

/**
 * The summaries of one user's snapshots that differ from what there is. Decrypted amounts live in here alone and are gone when it resolves.
 * Errors: `BrokenAmountError`, `HijriRangeError`, `DecryptionError`.
 */
export async function summariesOf(crypto: Crypto, records: readonly SnapshotRecord[]): Promise<AnnualSummary[]> {
  const plain = await crypto.decryptAll(records.flatMap(envelopesOf));
  const summaries: AnnualSummary[] = [];
  let at = 0;
  const next = () => plain[at++] ?? '';
  for (const record of records) {
    const due = parseAmount(next(), `zakat due of snapshot ${record.id}`);
    const amounts = record.payments.map((payment) => parseAmount(next(), `amount of payment ${payment.id}`));
    const was = record.summary === null ? null : { due: next(), paid: next() };
    const { paid, percent } = completion(due, amounts);
    const hijriYear = toHijri(dayNumber(record.snapshotDate), record.dayOffset).year;
    const same =
      was?.due === String(due) &&
      was.paid === String(paid) &&
      record.summary?.hijriYear === hijriYear &&
      record.summary.currency === record.currency &&
      record.summary.payments === amounts.length &&
      record.summary.percent === percent &&
      record.summary.revision === record.revision;
    if (!same) summaries.push(await sealed(crypto, record, { due, paid, percent, hijriYear }));
  }
  return summaries;
}

/** Due, payments, then what the summary says of both. */
function envelopesOf({ tenantId, id, zakatDueEnc, payments, summary }: SnapshotRecord) {
  const ref = (place: string, row: string) => ({ tenantId, place: `zakat.${place}`, row });
  return [
    { ref: ref('snapshots.zakat_due_enc', id), envelope: zakatDueEnc },
    ...payments.map((payment) => ({ ref: ref('payments.amount_enc', payment.id), envelope: payment.amountEnc })),
    ...(summary === null
      ? []
      : [
          { ref: ref('annual_summaries.zakat_due_enc', id), envelope: summary.zakatDueEnc },
          { ref: ref('annual_summaries.paid_enc', id), envelope: summary.paidEnc },
        ]),
  ];
}

async function sealed(
  crypto: Crypto,
  { tenantId, id, currency, payments, revision }: SnapshotRecord,
  made: { readonly due: bigint; readonly paid: bigint; readonly percent: string | null; readonly hijriYear: number },
): Promise<AnnualSummary> {
  const ref = (place: string) => ({ tenantId, place: `zakat.annual_summaries.${place}`, row: id });
  const [zakatDueEnc = '', paidEnc = ''] = await crypto.encryptAll([
    { ref: ref('zakat_due_enc'), plain: String(made.due) },
    { ref: ref('paid_enc'), plain: String(made.paid) },
  ]);
  const { percent, hijriYear } = made;
  return {
    tenantId,
    snapshotId: id,
    hijriYear,
    currency,
    zakatDueEnc,
    paidEnc,
    payments: payments.length,
    percent,
    revision,
  };
}
