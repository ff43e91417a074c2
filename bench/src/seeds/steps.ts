import { parseCurl } from './curl.ts';
import { differences, type Shape } from './differences.ts';
import type { Site, Step } from './seed.ts';

const PATIENCE_MS = 120_000;

/** Words of a curl line that stand for what only the installation knows, and what to put there. */
export type Placeholders = Readonly<Record<string, (site: Site) => string>>;

interface Answer {
  readonly status: number;
  readonly body?: Shape;
  readonly headers?: Readonly<Record<string, Shape>>;
  /** What must be true once it was answered. */
  readonly after?: (site: Site, body: unknown) => Promise<readonly string[]>;
}

/** A curl line as printed, sent to this installation. */
export function curl(line: string, answer: Answer, placeholders: Placeholders = {}): Step {
  return {
    shows: line.replaceAll(/\s*\\\n\s*/g, ' '),
    async replay(site) {
      let text = line;
      for (const [word, value] of Object.entries(placeholders)) text = text.replaceAll(word, value(site));
      const { method, path, headers, body } = parseCurl(text);
      const reply = await fetch(`${site.apiUrl}${path}`, {
        method,
        headers,
        redirect: 'manual',
        signal: AbortSignal.timeout(PATIENCE_MS),
        ...(body === null ? {} : { body }),
      });
      const raw = await reply.text();
      const json = reply.headers.get('content-type')?.includes('json') === true;
      const given = json ? (JSON.parse(raw) as unknown) : raw;
      return [
        ...differences(answer.status, reply.status, 'the status'),
        ...(answer.body === undefined ? [] : differences(answer.body, given)),
        ...Object.entries(answer.headers ?? {}).flatMap(([name, shape]) =>
          differences(shape, reply.headers.get(name), `the header ${name}`),
        ),
        ...((await answer.after?.(site, given)) ?? []),
      ];
    },
  };
}

/** A cron entry: the job's general schedule has this pattern, in this zone (`tenant`: each tenant's own), and is on. */
export function cron(
  shows: string,
  entry: { readonly job: string; readonly cron: string; readonly zone?: string },
): Step {
  const { job, cron: pattern, zone = 'UTC' } = entry;
  return {
    shows,
    async replay(site) {
      const found = await site.rows<{ cron: string; zone: string; enabled: boolean; tenant_zone: string | null }>(
        'SELECT cron, zone, enabled, tenant_zone FROM ops.schedules WHERE job = $1 AND owner_tenant IS NULL',
        [job],
      );
      if (found.length === 0) return [`${job} has no schedule`];
      return found.flatMap((schedule) => [
        ...differences(pattern, schedule.cron, `the pattern of ${job}`),
        ...differences(zone, schedule.tenant_zone === null ? schedule.zone : 'tenant', `the zone of ${job}`),
        ...differences(true, schedule.enabled, `${job} is on`),
      ]);
    },
  };
}

/** A SELECT as printed, with the names of schemas and views changed to ours. */
export function sql(
  printed: string,
  expected: {
    readonly names?: Readonly<Record<string, string>>;
    readonly values?: readonly unknown[];
    /** Columns that each row has, in order; looked at where there is a row. */
    readonly columns?: readonly string[];
    readonly rows?: Shape;
  },
): Step {
  return {
    shows: printed.trim(),
    async replay(site) {
      let text = printed;
      for (const [theirs, ours] of Object.entries(expected.names ?? {})) {
        text = text.replaceAll(new RegExp(`\\b${theirs.replaceAll('.', '\\.')}\\b`, 'g'), ours);
      }
      const rows = await site.rows<Readonly<Record<string, unknown>>>(text, expected.values);
      const [first] = rows;
      return [
        ...(expected.columns === undefined || first === undefined
          ? []
          : differences([...expected.columns], Object.keys(first), 'the columns')),
        ...(expected.rows === undefined ? [] : differences(expected.rows, rows, 'the rows')),
      ];
    },
  };
}

/** A line that the workers' logs must hold: some line's `msg` fits. */
export function logged(shows: string, message: RegExp): Step {
  return {
    shows,
    async replay(site) {
      const messages = site
        .workerLog()
        .split('\n')
        .flatMap((line) => /"msg":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? []);
      return messages.some((one) => message.test(one)) ? [] : [`no line of ${messages.length} is like ${message}`];
    },
  };
}

/** Anything else that it says: a check in words of our own. */
export function check(shows: string, replay: Step['replay']): Step {
  return { shows, replay };
}

/** How many rows `FROM …` gives. */
export async function count(site: Site, from: string): Promise<number> {
  const [row] = await site.rows<{ n: number }>(`SELECT count(*)::integer AS n ${from}`);
  return row?.n ?? Number.NaN;
}

/** Something that there must be none of: what it is called, and the `FROM …` that would find it. */
export function noneOf(shows: string, wrong: readonly (readonly [name: string, from: string])[]): Step {
  return {
    shows,
    async replay(site) {
      const found = await Promise.all(wrong.map(async ([name, from]) => ({ name, n: await count(site, from) })));
      return found.flatMap(({ name, n }) => differences(0, n, name));
    },
  };
}
