import { alertsTemplate } from './alerts/tell-alerts.ts';
import { canary } from './canary.job.ts';
import { nearest } from './check-declaration.ts';
import type { DefinedJob } from './define-job.ts';
import { DeclarationError, UnknownJobError } from './errors.ts';
import { type Template, templatesByName } from './notifications/template.ts';

/** The jobs a process knows: those it is given and the platform's own. */
export interface Catalogue {
  readonly jobs: readonly DefinedJob[];
  /** Errors: `UnknownJobError` with the nearest name. */
  get(name: string): DefinedJob;
  find(name: string): DefinedJob | undefined;
  /** What notifications are made of, by name. */
  readonly templates: ReadonlyMap<string, Template>;
  /** Queues that these jobs need, each once. */
  readonly queues: readonly { readonly name: string; readonly kind: 'short' | 'long' }[];
}

/** Errors: `DeclarationError` for two jobs or templates of one name, an `after` that names no job, or a circle of them. */
export function createCatalogue(jobs: readonly DefinedJob[], templates: readonly Template[] = []): Catalogue {
  const all = [canary as DefinedJob, ...jobs];
  const byName = new Map(all.map((job) => [job.name, job]));
  const problems = all
    .filter((job, i) => all.findIndex((other) => other.name === job.name) !== i)
    .map((job) => `'${job.name}' is declared twice`);
  for (const job of all) problems.push(...afterProblems(job, byName));
  if (problems.length > 0) throw new DeclarationError('The catalogue does not fit together', problems);
  const queues = new Map(
    all
      .flatMap((job) => (job.sweepForm === undefined ? [job] : [job, job.sweepForm]))
      .map((job) => [job.queue, job.kind === 'request' ? ('short' as const) : ('long' as const)]),
  );
  return {
    jobs: all,
    templates: templatesByName([alertsTemplate, ...templates]),
    find: (name) => byName.get(name),
    get(name) {
      const job = byName.get(name);
      if (job === undefined) throw new UnknownJobError(name, nearest(name, [...byName.keys()]));
      return job;
    },
    queues: [...queues].map(([name, kind]) => ({ name, kind })),
  };
}

function afterProblems(job: DefinedJob, byName: ReadonlyMap<string, DefinedJob>): string[] {
  const seen = [job.name];
  for (let after = job.schedule?.after; after !== undefined; after = byName.get(after)?.schedule?.after) {
    if (!byName.has(after)) return [`'${job.name}' runs after '${after}', which is no job`];
    if (seen.includes(after)) return [`'${job.name}' waits for itself: ${[...seen, after].join(' → ')}`];
    seen.push(after);
  }
  return [];
}
