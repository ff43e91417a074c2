import { NightshiftError } from '@nightshift/engine';

export class MissingMarkersError extends NightshiftError {
  constructor(path: string, part: string) {
    super(
      'missing-markers',
      `${path} needs the lines '${opening(part)}' and '${closing(part)}' around its generated part.`,
    );
  }
}

const opening = (part: string) => `<!-- generated:${part} -->`;
const closing = (part: string) => `<!-- /generated:${part} -->`;

/** The document with its generated part replaced. Errors: `MissingMarkersError`. */
export function replacePart(path: string, document: string, part: string, content: string): string {
  const start = document.indexOf(opening(part));
  const end = document.indexOf(closing(part));
  if (start < 0 || end < start) throw new MissingMarkersError(path, part);
  return `${document.slice(0, start + opening(part).length)}\n${content}\n${document.slice(end)}`;
}

/** Lines that differ, `-` as it is and `+` as it should be; empty when both agree. */
export function lineDifference(is: string, shouldBe: string): string[] {
  const before = is.split('\n');
  const after = shouldBe.split('\n');
  const known = new Set(before);
  const wanted = new Set(after);
  return [
    ...before.filter((line) => !wanted.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !known.has(line)).map((line) => `+ ${line}`),
  ];
}
