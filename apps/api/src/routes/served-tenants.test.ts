import { expect, test } from 'vitest';
import { isServed } from './schedules.ts';

const [a, b] = ['0192f1c0-0000-7000-8000-00000000000a', '0192f1c0-0000-7000-8000-00000000000b'];

test.each([
  ['all', { all: true }, null, true],
  ['the one', { only: [a] }, null, true],
  ['others', { only: [b] }, null, false],
  ['all but others', { except: [b] }, null, true],
  ['all but it', { except: [a] }, null, false],
  ['its zone', { all: true }, 'Asia/Kolkata', true],
  ['another zone', { all: true }, 'UTC', false],
])('a schedule of %s', (_name, tenantSelector, tenantZone, expected) => {
  expect(isServed({ tenantSelector, tenantZone }, { id: a, zone: 'Asia/Kolkata' })).toBe(expected);
});
