import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  allMedicines,
  type CheckedMedicine,
  findDuplicates,
  findInteractions,
  type InteractionRule,
} from './interactions.ts';

const medicine = (given: string, more: Partial<CheckedMedicine> = {}): CheckedMedicine => ({
  given,
  origin: 'asked',
  medicationId: given,
  name: given,
  ingredients: [given],
  classes: [],
  properties: [],
  ...more,
});
const rule = (a: string, b: string, severity: InteractionRule['severity'] = 'MAJOR'): InteractionRule => {
  const side = (text: string) =>
    text.startsWith('@') ? (['class', text.slice(1)] as const) : (['ingredient', text] as const);
  const [[aKind, aName], [bKind, bName]] = [side(a), side(b)];
  return { aKind, aName, bKind, bName, severity, effect: 'e', source: 's' };
};

const warfarin = medicine('warfarin', { classes: ['vitamin-k-antagonist'] });
const ibuprofen = medicine('ibuprofen', { classes: ['nsaid'] });
const naproxen = medicine('naproxen', { classes: ['nsaid'] });
const haloperidol = medicine('haloperidol', { properties: ['qt-prolonging'] });
const amiodarone = medicine('amiodarone', { properties: ['qt-prolonging'] });

test('a rule holds in either order, by ingredient, class or property, once a pair', () => {
  const rules = [rule('warfarin', '@nsaid'), rule('@qt-prolonging', '@qt-prolonging')];
  for (const pair of [
    [warfarin, ibuprofen],
    [ibuprofen, warfarin],
  ])
    expect(findInteractions(pair, rules)).toMatchObject([
      { severity: 'MAJOR', between: pair.map(({ given }) => given) },
    ]);
  expect(findInteractions([haloperidol, amiodarone], rules)).toHaveLength(1);
  expect(findInteractions([haloperidol], rules)).toEqual([]);
  expect(findInteractions([warfarin, haloperidol], rules)).toEqual([]);
});

test('because names the sides as the pair stands', () => {
  expect(findInteractions([ibuprofen, warfarin], [rule('warfarin', '@nsaid')])[0]?.because).toEqual([
    'nsaid',
    'warfarin',
  ]);
});

test('the worst comes first', () => {
  const rules = [
    rule('warfarin', 'ibuprofen', 'MINOR'),
    rule('warfarin', '@nsaid', 'CONTRAINDICATED'),
    rule('warfarin', 'naproxen', 'MODERATE'),
  ];
  expect(findInteractions([warfarin, ibuprofen, naproxen], rules).map(({ severity }) => severity)).toEqual([
    'CONTRAINDICATED', 'CONTRAINDICATED', 'MODERATE', 'MINOR',
  ]); // biome-ignore format: one line
});

test('the parts of one medicine do not interact with each other', () => {
  const both = medicine('both', { ingredients: ['warfarin', 'ibuprofen'] });
  expect(findInteractions([both], [rule('warfarin', 'ibuprofen')])).toEqual([]);
});

test('the same ingredient or therapeutic class twice is a duplicate, a property is not', () => {
  expect(findDuplicates([ibuprofen, naproxen])).toEqual([
    { between: ['ibuprofen', 'naproxen'], same: 'class', name: 'nsaid' },
  ]);
  expect(findDuplicates([ibuprofen, medicine('Advil', { ingredients: ['ibuprofen'], classes: ['nsaid'] })])).toEqual([
    { between: ['ibuprofen', 'Advil'], same: 'ingredient', name: 'ibuprofen' },
  ]);
  expect(findDuplicates([haloperidol, amiodarone])).toEqual([]);
});

test('what is asked about and taken already is one medicine, the same asked about twice is two', () => {
  const taken = { ...ibuprofen, origin: 'taken' as const };
  expect(allMedicines([ibuprofen], [taken, naproxen])).toEqual([ibuprofen, naproxen]);
  expect(findDuplicates(allMedicines([ibuprofen, ibuprofen], []))).toHaveLength(1);
});

test('what is found does not depend on the order of medicines or rules', () => {
  const medicines = [warfarin, ibuprofen, naproxen, haloperidol, amiodarone];
  const rules = [
    rule('warfarin', '@nsaid'),
    rule('@qt-prolonging', '@qt-prolonging'),
    rule('amiodarone', 'warfarin'),
    rule('haloperidol', '@nsaid', 'MINOR'),
  ];
  const seen = (found: ReturnType<typeof findInteractions>) =>
    found.map((one) => [...one.between].sort().join(' ')).sort();
  const expected = seen(findInteractions(medicines, rules));
  fc.assert(
    fc.property(
      fc.shuffledSubarray(medicines, { minLength: 5 }),
      fc.shuffledSubarray(rules, { minLength: 4 }),
      (m, r) => {
        expect(seen(findInteractions(m, r))).toEqual(expected);
      },
    ),
  );
});
