import type { FieldProblem } from '@nightshift/engine';
import express, { type Request, type RequestHandler } from 'express';
import { ProblemError, pointerOf } from './problem.ts';

export const MAX_BODY_BYTES = 1_048_576;
const MAX_DEPTH = 32;
const MAX_VALUES = 10_000;
const MAX_STRING = 65_536;
const TOO_MUCH: ReadonlySet<string> = new Set(['max-depth', 'max-values']);

export function schemaBroken(problems: readonly FieldProblem[]): ProblemError {
  return new ProblemError(422, 'invalid-input', 'The request breaks its schema.', { problems });
}

/** Reads the body as bytes, inflated, 1 MB at most: a gzip bomb is cut where it passes the limit. */
export const readBody: RequestHandler = express.raw({ limit: MAX_BODY_BYTES, type: () => true });

export interface JsonBody {
  readonly value: unknown;
  /** Values that no schema here admits, whatever its fields are. */
  readonly problems: readonly FieldProblem[];
}

/**
 * The JSON object of a request; null when there is no body. A key given twice: the last one counts.
 * Errors: 415 for another content type, 400 for what is not JSON, 422 for what is too deep or too much to be looked at.
 */
export function jsonBody(req: Request): JsonBody | null {
  const bytes: unknown = req.body;
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) return null;
  demandJson(req.headers['content-type']);
  const body = parse(bytes);
  if (typeof body !== 'object' || body === null) {
    throw schemaBroken([{ pointer: '', code: 'invalid-type', detail: 'must be a JSON object' }]);
  }
  const problems = [...structureProblems(body)];
  if (problems.some((problem) => TOO_MUCH.has(problem.code))) throw schemaBroken(problems);
  return { value: body, problems };
}

function demandJson(header: string | undefined): void {
  const [type, ...parameters] = (header ?? '').split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (type === 'application/json' && (charset === undefined || /^"?utf-?8"?$/.test(charset))) return;
  throw new ProblemError(415, 'unsupported-media-type', 'Send the body as application/json in UTF-8.');
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ProblemError(400, 'malformed-json', 'The body is not JSON.', { cause: error });
  }
}

/** Without recursion: a body of 40,000 nested arrays would end the stack. Stops at the first limit that is passed. */
export function* structureProblems(root: unknown): Generator<FieldProblem> {
  const open: { value: unknown; path: readonly string[] }[] = [{ value: root, path: [] }];
  let values = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, path } = next;
    values += 1;
    const problem = valueProblem(value);
    if (problem !== null) yield { pointer: pointerOf(path), ...problem };
    if (typeof value !== 'object' || value === null) continue;
    if (path.length >= MAX_DEPTH) {
      yield { pointer: pointerOf(path), code: 'max-depth', detail: `must not be nested deeper than ${MAX_DEPTH}` };
      return;
    }
    const entries = Object.entries(value);
    if (values + open.length + entries.length > MAX_VALUES) {
      yield { pointer: pointerOf(path), code: 'max-values', detail: `must not hold more than ${MAX_VALUES} values` };
      return;
    }
    for (const [key, inner] of entries) {
      const bad = keyProblem(key, inner);
      if (bad === null) open.push({ value: inner, path: [...path, key] });
      else yield { pointer: pointerOf([...path, key]), ...bad };
    }
  }
}

type Found = Pick<FieldProblem, 'code' | 'detail'> | null;

function valueProblem(value: unknown): Found {
  if (typeof value === 'string') return textProblem(value);
  if (typeof value !== 'number') return null;
  if (!Number.isFinite(value)) return { code: 'number-range', detail: 'must be a finite number' };
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return { code: 'number-range', detail: 'must be within ±9007199254740991: a larger integer would be rounded' };
  }
  return Object.is(value, -0) ? { code: 'number-range', detail: 'must not be -0' } : null;
}

function keyProblem(key: string, value: unknown): Found {
  const poisons = key === '__proto__' || (key === 'constructor' && typeof value === 'object');
  if (poisons) return { code: 'unknown-field', detail: 'is not a known field' };
  if (key.length > 200) return { code: 'max-length', detail: 'must not be longer than 200 characters' };
  return textProblem(key);
}

/** Postgres stores neither NUL nor half a surrogate pair. */
function textProblem(text: string): Found {
  if (text.length > MAX_STRING)
    return { code: 'max-length', detail: `must not be longer than ${MAX_STRING} characters` };
  if (text.includes('\0')) return { code: 'unstorable-text', detail: 'must not contain NUL characters' };
  // A pair counts as one character with the u flag: what is left are halves.
  return !/\p{Cs}/u.test(text) ? null : { code: 'unstorable-text', detail: 'must not contain lone surrogates' };
}
