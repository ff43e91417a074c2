import { createCatalogue } from '@nightshift/engine';
import { jobs } from '@nightshift/jobs';
import { describeJob, scheduleText } from '../job-description.ts';
import { listVariables, type Variable } from './variables.ts';

/** A file that is generated as a whole, or a part of it between two markers. */
export interface GeneratedDocument {
  readonly path: string;
  /** Name in `<!-- generated:name -->`; null for a whole file. */
  readonly part: string | null;
  readonly content: string;
}

/** Everything in the repository that is derived from code. */
export function generatedDocuments(): GeneratedDocument[] {
  return [
    { path: 'README.md', part: 'catalogue', content: catalogueTable() },
    { path: 'docs/environment.md', part: 'environment', content: environmentTable(listVariables()) },
    { path: '.env.example', part: null, content: envExample(listVariables()) },
  ];
}

function catalogueTable(): string {
  const rows = createCatalogue(jobs).jobs.map(describeJob);
  return markdownTable(
    ['job', 'what it does', 'schedule', 'scope', 'priority', 'typical / max'],
    rows.map((job) => [
      `\`${job.name}\``,
      job.description,
      scheduleText(job.schedule, (cron) => `\`${cron}\``),
      job.scope,
      job.priority,
      `${job.typicalMs / 1000} s / ${job.maxMs / 1000} s`,
    ]),
  );
}

export function environmentTable(variables: readonly Variable[]): string {
  return markdownTable(
    ['variable', 'default', 'read by', 'meaning'],
    variables.map((variable) => [
      `\`${variable.name}\``,
      variable.default === null ? (variable.required ? 'required' : '') : `\`${variable.default}\``,
      variable.readers.join(', '),
      variable.description,
    ]),
  );
}

const EXAMPLE_HEAD = `# Generated from the schemas that check these variables (node apps/cli/dist/generate.js).
# docker compose reads a copy named .env; a process by itself: node --env-file=.env apps/api/dist/main.js
# In development nothing is needed: npm start makes its own servers and secrets.
`;

export function envExample(variables: readonly Variable[]): string {
  const entries = variables.map((variable) => {
    const setting = `${variable.name}=${variable.default ?? ''}`;
    return `# ${variable.description}\n# read by: ${variable.readers.join(', ')}\n${variable.required ? '' : '# '}${setting}\n`;
  });
  return [EXAMPLE_HEAD, ...entries].join('\n');
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
