import { describe, expect, it } from 'vitest';
import { StoreUnavailableError } from './errors.ts';
import { isConnectionError, isOutage, isPassing, outlasted, scrubbed, sqlState, storeErrors } from './store-errors.ts';

function pgError(code: string, more: object = {}): Error {
  return Object.assign(new Error('secret value 42'), { code, ...more });
}

describe('isPassing', () => {
  it.each(['08006', '40001', '40P01', '53300', '55P03', '57P01', '57014', '25006'])(
    'hopes for another try after %s',
    (code) => {
      expect(isPassing(pgError(code))).toBe(true);
    },
  );
  it.each(['22003', '23505', '42501', '42P01', '25P02', 'P0001'])('blames the data or the code for %s', (code) => {
    expect(isPassing(pgError(code))).toBe(false);
  });
  it('looks through what wraps it', () => {
    expect(isPassing(new Error('drizzle says', { cause: pgError('40001') }))).toBe(true);
    expect(isPassing(new Error('plain'))).toBe(false);
    expect(isPassing(undefined)).toBe(false);
  });
});

describe('isConnectionError', () => {
  it('knows the codes of the socket and the words of pg', () => {
    expect(isConnectionError(pgError('ECONNREFUSED'))).toBe(true);
    expect(isConnectionError(new Error('Connection terminated unexpectedly'))).toBe(true);
    expect(isConnectionError(pgError('57P03'))).toBe(true);
  });
  it('does not take a deadlock for it', () => {
    expect(isConnectionError(pgError('40P01'))).toBe(false);
  });
});

describe('isOutage', () => {
  it.each(['08006', '53300', '57P01', '25006', 'ECONNREFUSED'])('takes %s for the server’s trouble', (code) => {
    expect(isOutage(new Error('drizzle says', { cause: pgError(code) }))).toBe(true);
  });
  it.each(['40P01', '53400', '55P03', '57014', '22003'])('takes %s for that of what was asked', (code) => {
    expect(isOutage(pgError(code))).toBe(false);
  });
});

describe('outlasted', () => {
  it.each(['57014', '25P03', '25P04'])('finds %s behind what came after it', (code) => {
    const limit = pgError(code);
    expect(outlasted(new Error('Connection terminated', { cause: limit }))).toBe(limit);
  });
  it('finds none in a server that shuts down, or in words alone', () => {
    for (const other of [pgError('57P01'), pgError('40001'), new Error('57014'), undefined])
      expect(outlasted(other)).toBeNull();
  });
});

describe('storeErrors', () => {
  const failing = (error: Error) => storeErrors(() => Promise.reject(error));
  it.each(['25006', '53300', '55P03', '57014', 'ECONNREFUSED'])(
    'asks whoever waits to come again after %s',
    async (code) => {
      await expect(failing(pgError(code))).rejects.toThrow(StoreUnavailableError);
    },
  );
  it('hands on what would not pass', async () => {
    const refused = pgError('23505');
    await expect(failing(refused)).rejects.toBe(refused);
  });
});

describe('scrubbed', () => {
  it('shows of a refusal by Postgres the code and names, never the text', () => {
    const text = scrubbed(pgError('23505', { constraint: 'members_key', table: 'members' }));
    expect(text).toBe('Postgres refused it: SQLSTATE 23505 (constraint members_key, table members)');
  });
  it('hides addresses and telephone numbers', () => {
    const text = scrubbed(new Error('cannot reach ada@example.org or +49 170 1234567'));
    expect(text).toBe('cannot reach <e-mail> or <number>');
  });
  it('holds nothing that Postgres would refuse', () => {
    expect(scrubbed(new Error('a\u0000b'))).toBe('ab');
  });
  it('leaves ids alone and is bounded', () => {
    const id = '0199c4de-7f7b-7abc-8def-123456789012';
    expect(scrubbed(new Error(`no row ${id}`))).toBe(`no row ${id}`);
    expect(scrubbed(new Error('x'.repeat(10_000)))).toHaveLength(500);
  });
});

it('takes a word of five letters from Node for no SQLSTATE of data', () => {
  expect(sqlState({ code: '23505' })).toBe('23505');
  expect(sqlState({ code: 'permanent' })).toBeNull();
  expect(sqlState(null)).toBeNull();
});
