import { expect, test } from 'vitest';
import type { z } from 'zod';
import { envExample, environmentTable } from './documents.ts';
import { listVariables, READERS, type Variable } from './variables.ts';

const port: Variable = { name: 'PORT', description: 'Port', default: '3000', required: false, readers: ['api'] };
const secret: Variable = { name: 'SECRET', description: 'A|B', default: null, required: true, readers: ['api'] };

test('a required variable stands open in the example, one with a default is commented out', () => {
  expect(envExample([port, secret])).toMatch(/\n# PORT=3000\n[\s\S]*\nSECRET=\n/);
});

test('a bar in a description does not break the table', () => {
  expect(environmentTable([secret])).toContain('| `SECRET` | required | api | A\\|B |');
});

test('every variable has a description, and its name once', () => {
  const variables = listVariables();
  expect(variables.filter((variable) => variable.description === '')).toEqual([]);
  expect(new Set(variables.map((variable) => variable.name)).size).toBe(variables.length);
});

test('every default is a value that its own schema takes', () => {
  for (const variable of listVariables()) {
    for (const reader of variable.readers) {
      const schema = READERS[reader].shape[variable.name as never] as z.ZodType;
      if (variable.default !== null)
        expect(schema.safeParse(variable.default), variable.name).toMatchObject({ success: true });
    }
  }
});
