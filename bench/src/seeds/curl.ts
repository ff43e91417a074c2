/** A curl line as it stands in a document. */
export interface CurlCall {
  readonly method: string;
  /** Path and query; whose host it names is not ours. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

const IGNORED = new Set(['-s', '-i', '-v', '-L', '--silent', '--include']);

/** Errors: a sentence naming what of the line is not understood. */
export function parseCurl(line: string): CurlCall {
  const [command, ...words] = shellWords(line);
  if (command !== 'curl') throw new Error(`not a curl line: ${line}`);
  let method: string | null = null;
  let url: string | null = null;
  let body: string | null = null;
  const headers: Record<string, string> = {};
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const value = () => {
      i += 1;
      const given = words[i];
      if (given === undefined) throw new Error(`${word} has no value in: ${line}`);
      return given;
    };
    if (word === '-X' || word === '--request') method = value();
    else if (word === '-d' || word.startsWith('--data')) body = value();
    else if (word === '-H' || word === '--header') {
      const [, name = '', text = ''] = /^([^:]+):\s*(.*)$/s.exec(value()) ?? [];
      headers[name.toLowerCase()] = text;
    } else if (/^(https?:|\$|\/)/.test(word) && url === null) url = word;
    else if (!IGNORED.has(word)) throw new Error(`'${word}' is not understood in: ${line}`);
  }
  if (url === null) throw new Error(`there is no address in: ${line}`);
  const path = url.replace(/^[a-z]+:\/\/[^/]+/, '').replace(/^\$\{?\w+\}?/, '');
  return { method: method ?? (body === null ? 'GET' : 'POST'), path, headers, body };
}

/** Words as a shell would make them: quotes, escapes, and lines joined by a backslash. */
function shellWords(line: string): string[] {
  const joined = line.replaceAll(/\\\r?\n/g, ' ').trim();
  const pattern = /(?:"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)|([^\s"'\\]+))|(\s+)/gs;
  const words: string[] = [];
  let word: string | null = null;
  for (const [, double, single, escaped, bare, space] of joined.matchAll(pattern)) {
    if (space !== undefined) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + (double?.replaceAll(/\\(["\\$`])/g, '$1') ?? single ?? escaped ?? bare ?? '');
  }
  if (word !== null) words.push(word);
  return words;
}
