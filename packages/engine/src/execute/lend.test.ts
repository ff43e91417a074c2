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

it('lends no function for longer than the connection', () => {
  const spoken: unknown[] = [];
  const speak = (...args: unknown[]) => void spoken.push(args);
  const { client, takeBack } = lend({ query: speak, escapeLiteral: speak } as unknown as PoolClient);
  const query = client.query.bind(client) as (text: string) => void;
  const { escapeLiteral } = client;
  query('SELECT 1');
  escapeLiteral('a');
  expect(spoken).toHaveLength(2);
  takeBack();
  for (const late of [() => query('SELECT 2'), () => escapeLiteral('b'), () => client.query('SELECT 3')])
    expect(late).toThrow('its connection belongs to another');
  expect(spoken).toHaveLength(2);
});
