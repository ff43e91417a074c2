import { createHash } from 'node:crypto';
import { z } from 'zod';

// What is inside of compression and encryption: records of a type byte, a length (UInt32BE) and bytes. `H` opens a section (JSON), `D` is
// COPY text of it as it came, `E` ends it (JSON: what there was). `Z` is the last record of all.

/**
 * What the rows of a section are:
 * `settled`: rows whose last change was certain when the snapshot was taken; `fresh`: rows changed by transactions that were not all over
 * then, so the next incremental backup brings them again; `kept`: keys of the rows that did not change since the base; `whole`: all rows of
 * a table without a primary key.
 */
export const SECTION_KINDS = ['settled', 'fresh', 'kept', 'whole'] as const;
export type SectionKind = (typeof SECTION_KINDS)[number];

export const sectionHeadSchema = z.strictObject({
  table: z.string(),
  kind: z.enum(SECTION_KINDS),
  columns: z.array(z.string()),
});
export type SectionHead = z.output<typeof sectionHeadSchema>;

export const sectionEndSchema = z.strictObject({ rows: z.int(), bytes: z.int(), sha256: z.string() });
export type SectionEnd = z.output<typeof sectionEndSchema>;

const HEAD = 5;

function record(type: 'H' | 'D' | 'E' | 'Z', body: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD);
  head.write(type, 0, 'latin1');
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

const NEWLINE = 10;

/** Rows of COPY text: each ends in a newline, and none holds one. */
export function createTally() {
  const hash = createHash('sha256');
  let bytes = 0;
  let rows = 0;
  return {
    add(chunk: Uint8Array): void {
      hash.update(chunk);
      bytes += chunk.length;
      for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) rows++;
    },
    end: (): SectionEnd => ({ rows, bytes, sha256: hash.digest('hex') }),
  };
}

/** The records of one section. */
export async function* writeSection(
  head: SectionHead,
  rows: AsyncIterable<Buffer>,
  onEnd: (end: SectionEnd) => void,
): AsyncGenerator<Buffer> {
  yield record('H', json(head));
  const tally = createTally();
  for await (const chunk of rows) {
    tally.add(chunk);
    yield record('D', chunk);
  }
  const end = tally.end();
  onEnd(end);
  yield record('E', json(end));
}

export function endOfSections(): Buffer {
  return record('Z', Buffer.alloc(0));
}

/** A stream of records that is not one. */
export class SectionError extends Error {
  override readonly name = 'SectionError';
}

export interface Section {
  readonly head: SectionHead;
  /** COPY text. Must be read to its end before the next section is asked for. */
  readonly rows: AsyncIterable<Buffer>;
}

/** Sections of a plain stream, one after the other. Errors: `SectionError` for one that is cut off, or whose rows are not those it counts. */
export async function* readSections(source: AsyncIterable<Buffer>): AsyncGenerator<Section> {
  const records = readRecords(source);
  for (;;) {
    const { type, body } = await nextRecord(records);
    if (type === 'Z') return;
    if (type !== 'H') throw new SectionError(`a section begins with '${type}'`);
    const head = sectionHeadSchema.parse(JSON.parse(body.toString()));
    let done = false;
    const rows = (async function* () {
      yield* sectionRows(head, records);
      done = true;
    })();
    yield { head, rows };
    if (!done) throw new SectionError(`section '${head.table} ${head.kind}' was not read to its end`);
  }
}

async function* sectionRows(head: SectionHead, records: AsyncGenerator<Record_>): AsyncGenerator<Buffer> {
  const tally = createTally();
  for (;;) {
    const { type, body } = await nextRecord(records);
    if (type === 'D') {
      tally.add(body);
      yield body;
    } else if (type === 'E') {
      const says = sectionEndSchema.parse(JSON.parse(body.toString()));
      if (JSON.stringify(tally.end()) !== JSON.stringify(says))
        throw new SectionError(`section '${head.table} ${head.kind}' does not hold the rows that it counts`);
      return;
    } else throw new SectionError(`'${type}' inside of section '${head.table} ${head.kind}'`);
  }
}

interface Record_ {
  readonly type: string;
  readonly body: Buffer;
}

async function nextRecord(records: AsyncGenerator<Record_>): Promise<Record_> {
  const next = await records.next();
  if (next.done) throw new SectionError('it ends in the middle');
  return next.value;
}

async function* readRecords(source: AsyncIterable<Buffer>): AsyncGenerator<Record_> {
  let buffered: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    let at = 0;
    while (buffered.length - at >= HEAD) {
      const length = buffered.readUInt32BE(at + 1);
      if (buffered.length - at < HEAD + length) break;
      yield { type: buffered.toString('latin1', at, at + 1), body: buffered.subarray(at + HEAD, at + HEAD + length) };
      at += HEAD + length;
    }
    buffered = buffered.subarray(at);
  }
  if (buffered.length > 0) throw new SectionError('it ends in the middle of a record');
}
