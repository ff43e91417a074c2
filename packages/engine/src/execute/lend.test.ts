import type { PoolClient } from '@nightshift/db';
import { expect, it } from 'vitest';
import { lend } from './execution.ts';

/** What pg would read of a statement. */
function asked(statement: unknown, ...rest: unknown[]) {
  const query = (config: { text: string; values?: unknown[]; query_timeout?: number }, ...more: unknown[]) => ({
    text: config.text,
    values: config.values,
    timeout: config.query_timeout,
    rest: more,
  });
  const { client } = lend({ query } as unknown as PoolClient);
  return (client.query as unknown as typeof query)(statement as never, ...rest);
}

class Template {
  get text() {
    return 'SELECT $1';
  }
  get values() {
    return [7];
  }
}

it('gives the statements of a job their own time, however they are written', () => {
  expect(asked('SELECT 1', [])).toEqual({ text: 'SELECT 1', timeout: 35_000, rest: [[]] });
  expect(asked({ text: 'SELECT $1', values: [1] })).toMatchObject({ text: 'SELECT $1', values: [1], timeout: 35_000 });
  expect(asked(new Template())).toMatchObject({ text: 'SELECT $1', values: [7], timeout: 35_000 });
  expect(asked({ text: 'SELECT 1', query_timeout: 5 })).toMatchObject({ timeout: 5 });
});
