import type { CLOSE_REASONS, TASK_STATUSES } from '@nightshift/db/clinic';
import type { TaskType, WantedTask } from './wanted-tasks.ts';

/** A task of the client that is open, or that has the type and due date of a wanted one. */
export interface ExistingTask {
  readonly id: string;
  readonly type: TaskType;
  readonly dueOn: string;
  readonly status: (typeof TASK_STATUSES)[number];
  readonly source: 'system' | 'person';
  readonly closeReason: (typeof CLOSE_REASONS)[number] | null;
}

/** What is to be done about one client's tasks: closes first, since only one task of a type may be open. */
export interface TaskPlan {
  readonly close: readonly { readonly id: string; readonly reason: 'superseded' | 'obsolete' }[];
  readonly reopen: readonly { readonly id: string; readonly type: TaskType }[];
  readonly create: readonly WantedTask[];
}

const REST_TYPES = ['VL_MONITOR', 'REFILL_ARV', 'REFILL_PREP'] as const;

/**
 * Identity is (client, type, due date). What a person closed stays closed; what the system closed is opened again when it is wanted again.
 * An open LTFU_REVIEW stays until a visit or a person closes it; what the other types no longer want is closed.
 */
export function planTasks(wanted: readonly WantedTask[], existing: readonly ExistingTask[]): TaskPlan {
  const plan = { close: [], reopen: [], create: [] } as {
    close: TaskPlan['close'][number][];
    reopen: TaskPlan['reopen'][number][];
    create: WantedTask[];
  };
  const lost = settle('LTFU_REVIEW', wanted, existing, plan, 'keep');
  const pending = settle('LABS_PENDING', wanted, existing, plan, 'obsolete');
  for (const type of REST_TYPES) {
    const over = type === 'VL_MONITOR' ? pending : lost;
    // An open LTFU_REVIEW supersedes refills; a viral load that is past supersedes its announcement.
    const wishes = type !== 'VL_MONITOR' && lost ? [] : wanted;
    settle(type, wishes, existing, plan, over ? 'superseded' : 'obsolete');
  }
  return plan;
}

/** Plans one type; returns whether a task of it is open afterwards. */
function settle(
  type: TaskType,
  wanted: readonly WantedTask[],
  existing: readonly ExistingTask[],
  plan: { close: TaskPlan['close'][number][]; reopen: TaskPlan['reopen'][number][]; create: WantedTask[] },
  unwanted: 'keep' | 'superseded' | 'obsolete',
): boolean {
  const ofType = existing.filter((task) => task.type === type);
  const open = ofType.find((task) => task.status === 'open');
  // A person's own task of the type, whatever its date, is the one that there is.
  if (open !== undefined && (open.source === 'person' || unwanted === 'keep')) return true;
  const same = (wish: WantedTask) => ofType.find((task) => task.dueOn === wish.dueOn);
  const chosen = wanted.find((wish) => wish.type === type && same(wish)?.closeReason !== 'hand');
  if (open !== undefined && open.dueOn !== chosen?.dueOn)
    plan.close.push({ id: open.id, reason: chosen === undefined && unwanted !== 'keep' ? unwanted : 'superseded' });
  if (chosen === undefined) return false;
  const before = same(chosen);
  if (before === undefined) plan.create.push(chosen);
  else if (before.status !== 'open') plan.reopen.push({ id: before.id, type });
  return true;
}
