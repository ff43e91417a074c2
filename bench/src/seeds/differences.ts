/**
 * What an answer must look like: a literal is that value, a regular expression fits a text, a predicate holds, an object's fields fit each
 * (others may be there), `each(shape)` fits every element of an array, an array fits element by element.
 */
export type Shape =
  | string
  | number
  | boolean
  | null
  | RegExp
  | Predicate
  | Each
  | readonly Shape[]
  | { readonly [field: string]: Shape };

export interface Predicate {
  readonly called: string;
  readonly holds: (value: unknown) => boolean;
}

class Each {
  readonly shape: Shape;
  constructor(shape: Shape) {
    this.shape = shape;
  }
}

/** An array, each of whose elements has this shape. */
export function each(shape: Shape): Each {
  return new Each(shape);
}

export const COUNT: Predicate = {
  called: 'a whole number from 0 on',
  holds: (value) => Number.isInteger(value) && (value as number) >= 0,
};
export const POSITIVE: Predicate = {
  called: 'a number above 0',
  holds: (value) => typeof value === 'number' && value > 0,
};

/** Where `actual` does not fit, a sentence each; none when it fits. */
export function differences(shape: Shape, actual: unknown, path = 'the answer'): string[] {
  const wrong = (expected: string) => [`${path}: expected ${expected}, got ${short(actual)}`];
  if (shape instanceof RegExp)
    return typeof actual === 'string' && shape.test(actual) ? [] : wrong(`text like ${shape}`);
  if (shape instanceof Each) {
    if (!Array.isArray(actual)) return wrong('an array');
    return actual.flatMap((one, i) => differences(shape.shape, one, `${path}[${i}]`));
  }
  if (isPredicate(shape)) return shape.holds(actual) ? [] : wrong(shape.called);
  if (Array.isArray(shape)) {
    if (!Array.isArray(actual) || actual.length !== shape.length) return wrong(`an array of ${shape.length}`);
    return shape.flatMap((one, i) => differences(one, actual[i], `${path}[${i}]`));
  }
  if (typeof shape === 'object' && shape !== null) {
    if (typeof actual !== 'object' || actual === null) return wrong('an object');
    return Object.entries(shape).flatMap(([name, one]) =>
      differences(one, (actual as Readonly<Record<string, unknown>>)[name], `${path}.${name}`),
    );
  }
  return Object.is(shape, actual) ? [] : wrong(short(shape));
}

function isPredicate(shape: Shape): shape is Predicate {
  return typeof shape === 'object' && shape !== null && 'holds' in shape && typeof shape.holds === 'function';
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
