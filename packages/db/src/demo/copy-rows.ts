import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

const CHUNK_CHARACTERS = 64 * 1024;

/** Streams lines of COPY text (tab-separated, `\N` for null, no trailing newline) into a table. Memory stays flat. Returns rows copied. */
export async function copyRows(
  client: Client,
  table: string,
  columns: string,
  lines: Iterable<string>,
): Promise<number> {
  const copy = client.query(copyFrom(`COPY ${table} (${columns}) FROM STDIN`));
  await pipeline(Readable.from(chunks(lines), { objectMode: true, highWaterMark: 2 }), copy);
  return copy.rowCount;
}

function* chunks(lines: Iterable<string>): Generator<string> {
  let chunk = '';
  for (const line of lines) {
    chunk += `${line}\n`;
    if (chunk.length >= CHUNK_CHARACTERS) {
      yield chunk;
      chunk = '';
    }
  }
  if (chunk !== '') yield chunk;
}
