import { z } from 'zod';

/**
 * Marks a field of a job's input as personal: stored encrypted, decrypted for the handler, shown to nobody; `personal(z.string())`.
 */
export function personal<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ ...schema.meta(), personal: true }) as Schema;
}

/** Steps from the root of an input to a field. */
export type Path = readonly (string | number)[];

/** Paths of the personal fields that this JSON value has; none below a personal field. */
export function personalPaths(schema: z.ZodType, value: unknown): Path[] {
  const paths: Path[] = [];
  if (hasPersonal(schema)) collect(schema, value, [], paths);
  return paths;
}

const known = new WeakMap<z.core.$ZodType, boolean>();

/** Whether any field below is marked; looked for once a schema. */
export function hasPersonal(schema: z.core.$ZodType): boolean {
  let found = known.get(schema);
  if (found === undefined) {
    found = search(schema, new Set());
    known.set(schema, found);
  }
  return found;
}

function search(schema: z.core.$ZodType, seen: Set<z.core.$ZodType>): boolean {
  if (seen.has(schema)) return false;
  seen.add(schema);
  const { fields, elements, same } = inner(schema);
  return isMarked(schema) || [...Object.values(fields), ...elements, ...same].some((below) => search(below, seen));
}

function collect(schema: z.core.$ZodType, value: unknown, path: Path, paths: Path[]): void {
  if (value === null || value === undefined) return;
  if (isMarked(schema)) {
    if (!paths.some((other) => isSame(other, path))) paths.push(path);
    return;
  }
  const { fields, elements, same } = inner(schema);
  for (const below of same) collect(below, value, path, paths);
  if (typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value)) {
    const step = Array.isArray(value) ? Number(key) : key;
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    const below = field === undefined ? elements : [field];
    for (const one of below) collect(one, child, [...path, step], paths);
  }
}

function isSame(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((step, i) => step === b[i]);
}

function isMarked(schema: z.core.$ZodType): boolean {
  return z.globalRegistry.get(schema)?.personal === true;
}

interface Inner {
  /** Fields by name. */
  readonly fields: Readonly<Record<string, z.core.$ZodType>>;
  /** What any other child may be. */
  readonly elements: readonly z.core.$ZodType[];
  /** What the same value may be. */
  readonly same: readonly z.core.$ZodType[];
}

const NOTHING: Inner = { fields: {}, elements: [], same: [] };

/** Schemas inside a schema. A kind that is not named here holds no others. */
function inner(schema: z.core.$ZodType): Inner {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object':
      return { ...NOTHING, fields: def.shape, elements: def.catchall === undefined ? [] : [def.catchall] };
    case 'array':
      return { ...NOTHING, elements: [def.element] };
    case 'tuple':
      return {
        ...NOTHING,
        fields: Object.fromEntries(def.items.entries()),
        elements: def.rest === null ? [] : [def.rest],
      };
    case 'record':
    case 'map':
      return { ...NOTHING, elements: [def.valueType] };
    case 'set':
      return { ...NOTHING, elements: [def.valueType] };
    case 'union':
      return { ...NOTHING, same: def.options };
    case 'intersection':
      return { ...NOTHING, same: [def.left, def.right] };
    case 'pipe':
      return { ...NOTHING, same: [def.in, def.out] };
    case 'lazy':
      return { ...NOTHING, same: [def.getter()] };
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
    case 'success':
    case 'promise':
      return { ...NOTHING, same: [def.innerType] };
    default:
      return NOTHING;
  }
}
