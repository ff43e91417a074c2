import { DecryptionError, type FieldCrypto, type FieldRef } from '@nightshift/db/crypto';
import { RunStateError } from '../errors.ts';
import type { NewRun } from '../new-run.ts';
import type { Path } from './personal.ts';

/** The key of a stored input that holds its personal fields, as one envelope. Callers cannot set it. */
export const SEALED = '$personal';
/** What stands where a personal field was. */
export const MASK = '<personal>';

/** Bound to the run: an envelope that is copied into another run does not open there. A shard's input is its parent's. */
function refOf(run: { readonly tenantId: string; readonly runId: string }): FieldRef {
  return { tenantId: run.tenantId, place: 'run.input', row: run.runId };
}

/** These runs with their personal fields encrypted. Costs nothing when none has any. Errors: `NoKeyError`, those of the store. */
export async function sealRuns(crypto: FieldCrypto, runs: readonly NewRun[]): Promise<readonly NewRun[]> {
  const open = runs.filter((run) => run.personal.length > 0);
  if (open.length === 0) return runs;
  const parts = open.map((run) => takeOut(JSON.parse(run.input), run.personal));
  const envelopes = await crypto.encryptAll(
    open.map((run, i) => ({
      ref: refOf({ tenantId: run.tenantId, runId: run.id }),
      plain: JSON.stringify(parts[i]?.taken),
    })),
  );
  const sealed = new Map(
    open.map((run, i) => [
      run.id,
      { ...run, personal: [], input: JSON.stringify({ ...(parts[i]?.rest as object), [SEALED]: envelopes[i] }) },
    ]),
  );
  return runs.map((run) => sealed.get(run.id) ?? run);
}

export async function sealRun(crypto: FieldCrypto, run: NewRun): Promise<NewRun> {
  const [sealed] = await sealRuns(crypto, [run]);
  return sealed ?? run;
}

type Taken = readonly (readonly [Path, unknown])[];

function takeOut(value: unknown, paths: readonly Path[]): { rest: unknown; taken: Taken } {
  let rest = value;
  const taken = paths.map((path) => {
    const { before, after } = replaced(rest, path, MASK);
    rest = after;
    return [path, before] as const;
  });
  return { rest, taken };
}

/** The value with another one at the path, and what stood there. Own keys alone: a path cannot reach a prototype. */
function replaced(value: unknown, path: Path, by: unknown): { before: unknown; after: unknown } {
  const [step, ...further] = path;
  if (step === undefined) return { before: value, after: by };
  const children = new Map<string | number, unknown>(
    Array.isArray(value) ? value.entries() : Object.entries((value ?? {}) as object),
  );
  const { before, after } = replaced(children.get(step), further, by);
  children.set(step, after);
  return { before, after: Array.isArray(value) ? [...children.values()] : Object.fromEntries(children) };
}

export function isSealed(input: unknown): input is Readonly<Record<string, unknown>> & { readonly [SEALED]: string } {
  return typeof input === 'object' && input !== null && Object.hasOwn(input, SEALED);
}

/** A run whose stored input is to be read. */
export interface SealedRun {
  readonly id: string;
  readonly tenantId: string;
  readonly parentId?: string | null;
}

/** Texts and numbers of the personal input of runs in hand, by run: what no record may say. */
export type PersonalValues = Map<string, readonly string[]>;

function leaves(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(leaves);
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
}

/** A stored input as it was given; its personal values are added to `values`. Errors: `DecryptionError`, `NoKeyError`, those of the store. */
export async function openInput(
  crypto: FieldCrypto,
  run: SealedRun,
  stored: unknown,
  values: PersonalValues = new Map(),
): Promise<unknown> {
  if (!isSealed(stored)) return stored;
  values.set(run.id, []);
  const { [SEALED]: envelope, ...rest } = stored;
  const plain = await crypto.decrypt(
    refOf({ tenantId: run.tenantId, runId: run.parentId ?? run.id }),
    String(envelope),
  );
  const taken = JSON.parse(plain) as Taken;
  values.set(
    run.id,
    taken.flatMap(([, value]) => leaves(value)),
  );
  let input: unknown = rest;
  for (const [path, value] of taken) input = replaced(input, path, value).after;
  return input;
}

/** The input of an ended run, for a new one. Errors: `RunStateError` when its tenant's keys are gone; `NoKeyError`. */
export async function openForRetry(
  crypto: FieldCrypto,
  run: SealedRun & { readonly outcome: string },
  stored: unknown,
) {
  try {
    return await openInput(crypto, run, stored);
  } catch (error) {
    if (!(error instanceof DecryptionError)) throw error;
    throw new RunStateError(run.id, run.outcome, `its input cannot be decrypted any more, so it cannot be done again.`);
  }
}

/** A stored input as anybody may see it: personal fields say `<personal>`. */
export function maskedInput(stored: unknown): unknown {
  if (!isSealed(stored)) return stored;
  const { [SEALED]: _, ...rest } = stored;
  return rest;
}
