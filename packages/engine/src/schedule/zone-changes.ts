/** One change of a zone's clock: offsets from UTC before and after it, ms. */
export interface ZoneChange {
  /** The first instant of the new offset, ms. */
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

const DAY_MS = 86_400_000;
/** Days looked at together; what was found in them is kept. No zone has changed its clock twice within a day. */
const SPAN_DAYS = 64;
const SPANS_KEPT = 20_000;

const FORMATS = new Map<string, Intl.DateTimeFormat>();
const SPANS = new Map<string, readonly ZoneChange[]>();

/** Local time minus UTC of an instant (ms) in a zone, ms. */
export function offsetAt(zone: string, at: number): number {
  if (zone === 'UTC') return 0;
  let format = FORMATS.get(zone);
  if (format === undefined) {
    // sv-SE writes `2026-11-21 23:41:35`.
    format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
    }); // biome-ignore format: fields alone
    FORMATS.set(zone, format);
  }
  return Date.parse(`${format.format(at).replace(' ', 'T')}Z`) - Math.floor(at / 1_000) * 1_000;
}

/** Changes of the zone's clock at or after `from` and before `to` (ms), in order. */
export function zoneChanges(zone: string, from: number, to: number): ZoneChange[] {
  if (zone === 'UTC') return [];
  const found: ZoneChange[] = [];
  for (let span = spanOf(from); span <= spanOf(to); span++) {
    for (const change of changesOfSpan(zone, span)) if (change.at >= from && change.at < to) found.push(change);
  }
  return found;
}

/** The first change after `after` (ms) and at `until` at the latest, or null. */
export function nextChange(zone: string, after: number, until: number): ZoneChange | null {
  if (zone === 'UTC') return null;
  for (let span = spanOf(after); span <= spanOf(until); span++) {
    for (const change of changesOfSpan(zone, span)) {
      if (change.at > after) return change.at <= until ? change : null;
    }
  }
  return null;
}

function spanOf(at: number): number {
  return Math.floor(at / (SPAN_DAYS * DAY_MS));
}

function changesOfSpan(zone: string, span: number): readonly ZoneChange[] {
  const key = `${zone} ${span}`;
  const known = SPANS.get(key);
  if (known !== undefined) return known;
  const changes: ZoneChange[] = [];
  const start = span * SPAN_DAYS * DAY_MS;
  let before = offsetAt(zone, start);
  for (let day = 1; day <= SPAN_DAYS; day++) {
    const after = offsetAt(zone, start + day * DAY_MS);
    if (after !== before) changes.push({ at: findChange(zone, start + (day - 1) * DAY_MS, before), before, after });
    before = after;
  }
  if (SPANS.size >= SPANS_KEPT) SPANS.clear();
  SPANS.set(key, changes);
  return changes;
}

/** To the second, within the day that begins at `low`. */
function findChange(zone: string, from: number, before: number): number {
  let [low, high] = [from, from + DAY_MS];
  while (high - low > 1_000) {
    const middle = low + Math.floor((high - low) / 2_000) * 1_000;
    if (offsetAt(zone, middle) === before) low = middle;
    else high = middle;
  }
  return high;
}
