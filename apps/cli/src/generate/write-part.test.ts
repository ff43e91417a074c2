import { expect, test } from 'vitest';
import { lineDifference, MissingMarkersError, replacePart } from './write-part.ts';

const document = 'before\n<!-- generated:list -->\nold\n<!-- /generated:list -->\nafter\n';

test('only the part between the markers is replaced, and a second time nothing changes', () => {
  const replaced = replacePart('a.md', document, 'list', 'new');
  expect(replaced).toBe('before\n<!-- generated:list -->\nnew\n<!-- /generated:list -->\nafter\n');
  expect(replacePart('a.md', replaced, 'list', 'new')).toBe(replaced);
});

test('a document without its markers is refused', () => {
  expect(() => replacePart('a.md', 'nothing here', 'list', 'new')).toThrow(MissingMarkersError);
});

test('the difference names stale and missing lines', () => {
  expect(lineDifference('a\nb', 'a\nb')).toEqual([]);
  expect(lineDifference('a\nb', 'a\nc')).toEqual(['- b', '+ c']);
});
