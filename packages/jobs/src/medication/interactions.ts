import { SEVERITIES, type SIDE_KINDS } from '@nightshift/db/medication';

export type Severity = (typeof SEVERITIES)[number];

/** A medicine in a check, with what it resolved to; names in lower case. */
export interface CheckedMedicine {
  /** As it was given, or the medicine's name where it comes from the user's own list. */
  readonly given: string;
  readonly origin: 'asked' | 'taken';
  readonly medicationId: string;
  readonly name: string;
  readonly ingredients: readonly string[];
  readonly classes: readonly string[];
  readonly properties: readonly string[];
}

export interface InteractionRule {
  readonly aKind: (typeof SIDE_KINDS)[number];
  readonly aName: string;
  readonly bKind: (typeof SIDE_KINDS)[number];
  readonly bName: string;
  readonly severity: Severity;
  readonly effect: string;
  readonly source: string;
}

/** Field names are those of the answer. */
export interface Interaction {
  readonly between: readonly [string, string];
  readonly because: readonly [string, string];
  readonly severity: Severity;
  readonly effect: string;
  readonly source: string;
}

export interface DuplicateTherapy {
  readonly between: readonly [string, string];
  readonly same: 'ingredient' | 'class';
  readonly name: string;
}

/** Everything that the rules say of every pair, the worst first. */
export function findInteractions(
  medicines: readonly CheckedMedicine[],
  rules: readonly InteractionRule[],
): Interaction[] {
  const bySide = sidesOf(rules);
  const found: Interaction[] = [];
  for (const [a, b] of pairs(medicines)) {
    const seen = new Set<InteractionRule>();
    for (const name of namesOf(a)) {
      for (const rule of bySide.get(name) ?? []) {
        if (seen.has(rule) || !matches(rule, a, b)) continue;
        seen.add(rule);
        const because = sideMatches(rule, 'a', a) && sideMatches(rule, 'b', b) ? ['a', 'b'] : ['b', 'a'];
        found.push({
          between: [a.given, b.given],
          because: because.map((side) => (side === 'a' ? rule.aName : rule.bName)) as [string, string],
          severity: rule.severity,
          effect: rule.effect,
          source: rule.source,
        });
      }
    }
  }
  return found.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}

/** Pairs that share an ingredient or, having none in common, a therapeutic class. */
export function findDuplicates(medicines: readonly CheckedMedicine[]): DuplicateTherapy[] {
  return pairs(medicines).flatMap(([a, b]): DuplicateTherapy[] => {
    const between = [a.given, b.given] as const;
    const ingredients = shared(a.ingredients, b.ingredients);
    if (ingredients.length > 0) return ingredients.map((name) => ({ between, same: 'ingredient' as const, name }));
    return shared(a.classes, b.classes).map((name) => ({ between, same: 'class' as const, name }));
  });
}

export function worstOf(found: readonly Interaction[]): Severity | null {
  return found[0]?.severity ?? null;
}

/** Names under which rules may speak of a medicine. */
export function namesOf(medicine: CheckedMedicine): string[] {
  return [...new Set([...medicine.ingredients, ...medicine.classes, ...medicine.properties])];
}

/** What is asked for and taken already is one medicine; the same asked for twice is two. */
export function allMedicines(asked: readonly CheckedMedicine[], taken: readonly CheckedMedicine[]): CheckedMedicine[] {
  const ids = new Set(asked.map((medicine) => medicine.medicationId));
  return [...asked, ...taken.filter((medicine) => !ids.has(medicine.medicationId))];
}

function pairs<T>(items: readonly T[]): (readonly [T, T])[] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b) => [a, b] as const));
}

function shared(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set(a)].filter((name) => b.includes(name));
}

function sidesOf(rules: readonly InteractionRule[]): Map<string, InteractionRule[]> {
  const sides = new Map<string, InteractionRule[]>();
  for (const rule of rules) {
    for (const name of new Set([rule.aName, rule.bName])) sides.set(name, [...(sides.get(name) ?? []), rule]);
  }
  return sides;
}

function matches(rule: InteractionRule, a: CheckedMedicine, b: CheckedMedicine): boolean {
  return (
    (sideMatches(rule, 'a', a) && sideMatches(rule, 'b', b)) || (sideMatches(rule, 'a', b) && sideMatches(rule, 'b', a))
  );
}

function sideMatches(rule: InteractionRule, side: 'a' | 'b', medicine: CheckedMedicine): boolean {
  const [kind, name] = side === 'a' ? [rule.aKind, rule.aName] : [rule.bKind, rule.bName];
  switch (kind) {
    case 'ingredient':
      return medicine.ingredients.includes(name);
    case 'class':
      return medicine.classes.includes(name) || medicine.properties.includes(name);
    default:
      return kind satisfies never;
  }
}
