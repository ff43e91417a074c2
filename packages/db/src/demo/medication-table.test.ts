import { expect, test } from 'vitest';
import { SEVERITIES } from '../schema/medication.ts';
import { DEMO_TABLE_VERSION, demoInteractions, demoMedications } from './medication-table.ts';

const medications = demoMedications();
const interactions = demoInteractions();

test('at least 60 rules, each with a severity, an effect and a source, and the table says what it is not for', () => {
  expect(interactions.length).toBeGreaterThanOrEqual(60);
  for (const rule of interactions) {
    expect(SEVERITIES, JSON.stringify(rule)).toContain(rule.severity);
    expect(rule.effect.length, JSON.stringify(rule)).toBeGreaterThan(5);
    expect(rule.source, JSON.stringify(rule)).toMatch(/label|FDA|EMA|CDC/);
  }
  expect(DEMO_TABLE_VERSION).toContain('demonstration data, not for clinical use');
});

test('every side of a rule is something that a medication has, and no pair stands twice', () => {
  const ingredients = new Set(medications.flatMap((one) => one.ingredients));
  const classes = new Set(medications.flatMap((one) => [...one.classes, ...one.properties]));
  const pairs = new Set<string>();
  for (const { aKind, aName, bKind, bName } of interactions) {
    expect(aKind === 'class' ? classes : ingredients, aName).toContain(aName);
    expect(bKind === 'class' ? classes : ingredients, bName).toContain(bName);
    const pair = [`${aKind} ${aName}`, `${bKind} ${bName}`].sort().join(' + ');
    expect(pairs, pair).not.toContain(pair);
    pairs.add(pair);
  }
});

test('medications have an ingredient, lower-case words, and names and brands that mean one of them alone', () => {
  const names = new Map<string, string>();
  for (const { name, ingredients, brands, classes, properties } of medications) {
    expect(ingredients.length, name).toBeGreaterThan(0);
    expect(classes.length, name).toBeGreaterThan(0);
    for (const word of [...ingredients, ...brands, ...classes, ...properties])
      expect(word, name).toBe(word.toLowerCase());
    for (const called of [name.toLowerCase(), ...brands]) {
      expect(names.get(called), `${called} of ${name}`).toBeUndefined();
      names.set(called, name);
    }
  }
});
