import { inTransaction, type Pool } from '@nightshift/db';
import type { Catalogue } from '../catalogue.ts';
import { UnknownScheduleError } from '../errors.ts';
import { type CronInstant, cronInstants } from './cron.ts';
import { readSchedule } from './locked-schedule.ts';
import {
  type CronRights,
  checkedSchedule,
  invalidSchedule,
  type SchedulePatch,
  schedulePatchSchema,
} from './schedule-input.ts';
import { servedTenants } from './selector.ts';

export interface PreviewRequest {
  /** 1 to 1,000. */
  readonly count: number;
  /** Default now. */
  readonly from?: Date | undefined;
  /** What the schedule would be after this edit. */
  readonly patch?: SchedulePatch | undefined;
}

/** A tick to come. */
export interface PreviewTick {
  /** Of a skipped time: when it would have been due. */
  readonly dueAt: Date;
  /** `YYYY-MM-DDTHH:MM:SS` on the clocks of the zone. */
  readonly localTime: string;
  readonly zone: string;
  readonly dst: CronInstant['dst'];
  /** How many tenants it serves, as things are now; 0 for a skipped time. */
  readonly tenants: number;
}

/** The next ticks, computed as the clock loop computes them; those on days on which the clock changes are marked. */
export async function previewTicks(
  deps: { ops: Pool; catalogue: Catalogue },
  id: string,
  request: PreviewRequest,
  rights: CronRights,
): Promise<PreviewTick[]> {
  const patch = request.patch === undefined ? {} : checkedSchedule(schedulePatchSchema, request.patch, rights);
  const year = request.from?.getUTCFullYear() ?? 2000;
  if (year < 1970 || year > 2999)
    throw invalidSchedule(
      [{ pointer: '/from', code: 'invalid', detail: 'expected a time from 1970 to 2999' }],
      'It cannot be told',
    );
  return inTransaction(deps.ops, [], async (client) => {
    const row = await readSchedule(client, id);
    if (deps.catalogue.find(row.job) === undefined) throw new UnknownScheduleError(id);
    const seen = { ...row, tenant_selector: patch.tenants ?? row.tenant_selector };
    const tenants = (await servedTenants(client, deps.catalogue, [seen])).get(id)?.length ?? 0;
    const zone = patch.zone ?? row.zone;
    const from = request.from ?? row.now;
    return cronInstants(patch.cron ?? row.cron, zone, from, request.count, patch.dst ?? row.dst).map(
      ({ dueAt, localTime, dst, fires }) => ({ dueAt, localTime, zone, dst, tenants: fires ? tenants : 0 }),
    );
  });
}
