import { z } from 'zod';
import { defineJob, type RequestJob, type SweepJob, type TaskJob } from '../define-job.ts';
import type { TestStore } from './test-store.ts';

// Jobs of a system `tiny`, over tables of its own: what the engine's tests run.

const BASE = {
  title: 'A tiny job',
  description: 'For the tests of the engine.',
  scope: 'tenant',
  priority: 'HIGH',
  retry: { delayMs: 1 },
  typicalMs: 1_000,
  maxMs: 60_000,
  input: z.looseObject({}),
} as const;

// biome-ignore lint/suspicious/noExplicitAny: inputs are the test's own business
type AnyInput = z.ZodType<any>;

export function tinyRequest(name: string, more: Pick<RequestJob, 'handle'> & Partial<RequestJob<AnyInput>>) {
  return defineJob<AnyInput, unknown>({ ...BASE, ...more, kind: 'request', name: `tiny.${name}` });
}

export function tinyTask(name: string, more: Pick<TaskJob, 'run'> & Partial<TaskJob<AnyInput>>) {
  return defineJob<AnyInput, unknown>({ ...BASE, ...more, kind: 'task', name: `tiny.${name}` });
}

/** A row of `tiny.items`. */
export interface TinyItem {
  readonly id: string;
  readonly tenant_id: string;
}

/** Counts each item of its tenants as done once more; a broken item makes Postgres refuse the batch. */
export function tinySweep(name: string, more: Partial<SweepJob<AnyInput, TinyItem>> = {}) {
  return defineJob<AnyInput, TinyItem>({
    ...BASE,
    options: { batchSize: 10, batchDelayMs: 0 },
    async count(ctx) {
      const { rows } = await ctx.client.query<{ n: number }>(
        'SELECT count(*)::integer AS n FROM tiny.items WHERE tenant_id = ANY ($1)',
        [ctx.tenantIds],
      );
      return rows[0]?.n ?? 0;
    },
    async items(ctx, after, limit) {
      const { rows } = await ctx.client.query<TinyItem>(
        'SELECT id, tenant_id FROM tiny.items WHERE tenant_id = ANY ($1) AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3',
        [ctx.tenantIds, after, limit],
      );
      return rows;
    },
    key: (item) => item.id,
    tenantOf: (item) => item.tenant_id,
    process: countAsDone,
    summarize: ({ processed, changed, failed, tally }) => ({ processed, changed, failed, tally }),
    ...more,
    kind: 'sweep',
    name: `tiny.${name}`,
  });
}

export const countAsDone: SweepJob<AnyInput, TinyItem>['process'] = async (ctx, items) => {
  const { rowCount } = await ctx.client.query(
    'UPDATE tiny.items SET done = done + 1 / (CASE WHEN broken THEN 0 ELSE 1 END) WHERE id = ANY ($1)',
    [items.map((item) => item.id)],
  );
  return { changed: rowCount ?? 0, tally: { batches: 1 } };
};

/** Makes `tiny.items` (what sweeps go over) and `tiny.effects` (what request jobs leave behind, in order). */
export async function makeTinyTables(store: TestStore): Promise<void> {
  await store.admin.query(`
    CREATE SCHEMA tiny;
    CREATE TABLE tiny.items (id text PRIMARY KEY, tenant_id uuid NOT NULL, broken boolean NOT NULL DEFAULT false, done integer NOT NULL DEFAULT 0);
    CREATE TABLE tiny.effects (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id uuid NOT NULL, note text);
    GRANT USAGE ON SCHEMA tiny TO ns_app;
    GRANT ALL ON ALL TABLES IN SCHEMA tiny TO ns_app;`);
}

/** Items `<prefix>000`, `<prefix>001` … of a tenant; those named are broken. Resolves to their ids. */
export async function addItems(
  store: TestStore,
  tenantId: string,
  n: number,
  options: { prefix?: string; broken?: readonly string[] } = {},
): Promise<string[]> {
  const ids = Array.from({ length: n }, (_, i) => `${options.prefix ?? 'i'}${String(i).padStart(3, '0')}`);
  await store.admin.query(
    'INSERT INTO tiny.items (id, tenant_id, broken) SELECT id, $2, id = ANY ($3) FROM unnest($1::text[]) AS id',
    [ids, tenantId, options.broken ?? []],
  );
  return ids;
}

/** How often each item of a tenant was done, by id. */
export async function doneItems(store: TestStore, tenantId: string): Promise<Record<string, number>> {
  const { rows } = await store.admin.query<{ id: string; done: number }>(
    'SELECT id, done FROM tiny.items WHERE tenant_id = $1 ORDER BY id',
    [tenantId],
  );
  return Object.fromEntries(rows.map((row) => [row.id, row.done]));
}

/** A place in a job at which the test holds it. */
export interface Gate {
  /** Resolves when a job is at the gate. */
  readonly reached: Promise<void>;
  /** What the job awaits. */
  pass(): Promise<void>;
  open(): void;
}

export function createGate(): Gate {
  let open: () => void = () => undefined;
  let reach: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  return {
    reached,
    open,
    pass() {
      reach();
      return opened;
    },
  };
}

/** Two shards of ten items, told once the gate is passed: for what happens while a sweep is being split. */
export function shardsBehind(gate: () => Gate): NonNullable<SweepJob<AnyInput, TinyItem>['shards']> {
  return {
    items: 10,
    async bounds(ctx) {
      const { rows } = await ctx.client.query<{ id: string }>(
        'SELECT id FROM tiny.items WHERE tenant_id = $1 ORDER BY id OFFSET 9 LIMIT 1',
        [ctx.tenantIds[0]],
      );
      await gate().pass();
      return rows.map((row) => row.id);
    },
  };
}
