import type { DefinedJob } from '@nightshift/engine';
import { z } from 'zod';
import type { AnswerDoc, Endpoint } from './endpoint.ts';
import { problemSchema } from './problem.ts';

type Json = Record<string, unknown>;

export interface DocumentParts {
  readonly endpoints: readonly Endpoint[];
  /** Paths that are not served as endpoints, in OpenAPI form. */
  readonly others: Readonly<Record<string, Json>>;
  readonly jobs: readonly DefinedJob[];
  readonly version: string;
  readonly publicUrl: string | undefined;
}

const DESCRIPTION = `A distributed job platform: Redis executes, Postgres remembers.

**Tokens.** Every \`/v1\` path takes a bearer JWT with \`sub\`, \`role\` (viewer, operator, admin or service), \`exp\`, issuer and audience. A
token with \`tenant\` sees and starts that tenant's runs alone; one without is the platform's. In development:
\`npm run -s nightshift -- token --role operator\`.

**Accepted means durable.** A 202 is given after Postgres committed the run. Send an \`Idempotency-Key\` and a repeated request answers with
the same run for 48 hours; with another body it is refused (422).

**Errors** are problem details (RFC 9457) with a stable \`code\` and, per field, a JSON Pointer. 503 comes with \`Retry-After\`: nothing was
accepted by halves.

**Lists** are read page by page: send \`nextCursor\` back as \`cursor\` until it is null.`;

/** The OpenAPI 3.1 document, made from the schemas that validate. */
export function openApiDocument(parts: DocumentParts): Json {
  const components = createComponents();
  components.add(problemSchema, 'output');
  const paths: Record<string, Json> = {};
  for (const one of parts.endpoints) {
    paths[one.path] = { ...paths[one.path], [one.method]: operation(one, components, parts.jobs) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Nightshift',
      version: parts.version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: parts.publicUrl ?? '/' }],
    tags: [
      'Jobs',
      'Runs',
      'Schedules',
      'Queues',
      'Records',
      'Clinic',
      'Gym',
      'Litigation',
      'Medication',
      'Process',
    ].map((name) => ({
      name,
    })),
    security: [{ token: [] }],
    paths: { ...paths, ...parts.others },
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        cronSecret: { type: 'http', scheme: 'bearer', description: 'CRON_SECRET' },
        functionsApiKey: { type: 'http', scheme: 'bearer', description: 'FUNCTIONS_API_KEY' },
      },
      schemas: components.schemas,
    },
  };
}

interface Components {
  readonly schemas: Record<string, Json>;
  add(schema: z.ZodType, io: 'input' | 'output'): Json;
}

/** Schemas with an id become components, once; the others stay where they are used. */
function createComponents(): Components {
  const schemas: Record<string, Json> = {};
  return {
    schemas,
    add(schema, io) {
      const json = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
      const { $defs, $schema: _, ...own } = json;
      for (const [name, definition] of Object.entries(($defs as Record<string, Json> | undefined) ?? {})) {
        schemas[name] = withComponentRefs(definition) as Json;
      }
      const { id, ...body } = withComponentRefs(own) as Json;
      if (typeof id !== 'string') return body;
      schemas[id] = body;
      return { $ref: `#/components/schemas/${id}` };
    },
  };
}

/** The pattern of a format says the same again, in 300 characters. */
function withComponentRefs(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withComponentRefs);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json)
      .filter(([key]) => !(key === 'pattern' && 'format' in json))
      .map(([key, value]) =>
        key === '$ref' && typeof value === 'string'
          ? [key, value.replace('#/$defs/', '#/components/schemas/')]
          : [key, withComponentRefs(value)],
      ),
  );
}

function operation(spec: Endpoint, components: Components, jobs: readonly DefinedJob[]): Json {
  const answers = Object.entries(spec.answers).map(([status, answer]) => [status, answerDoc(answer, components)]);
  return {
    operationId: spec.id,
    tags: [spec.tag],
    summary: spec.summary,
    description: [spec.description, `Roles: ${spec.roles.join(', ')}.`].filter(Boolean).join('\n\n'),
    parameters: [
      ...parameters(spec.params, 'path'),
      ...parameters(spec.query, 'query'),
      ...(spec.takesIdempotencyKey === true
        ? [header('Idempotency-Key', 'Same key and same body: same run, for 48 h.')]
        : []),
      ...(spec.takesPrefer === true
        ? [header('Prefer', 'wait=N: answer when the run has ended, after N seconds at the latest.')]
        : []),
    ],
    ...(spec.body === undefined ? {} : { requestBody: requestBody(spec, spec.body, components, jobs) }),
    responses: Object.fromEntries([...answers, ...refusals(spec)]),
  };
}

function requestBody(spec: Endpoint, body: z.ZodType, components: Components, jobs: readonly DefinedJob[]): Json {
  const schema = components.add(body, 'input');
  const start = components.schemas.StartRun as { properties?: Record<string, Json> } | undefined;
  if (spec.id === 'startRun' && start?.properties !== undefined) {
    for (const job of jobs) {
      const { $schema: _, ...input } = z.toJSONSchema(job.input, { io: 'input', unrepresentable: 'any' }) as Json;
      components.schemas[`Input.${job.name}`] = { title: job.title, ...input };
    }
    start.properties.input = {
      description: "Checked against the job's own input schema.",
      anyOf: jobs.map((job) => ({ $ref: `#/components/schemas/Input.${job.name}` })),
    };
  }
  return {
    required: spec.bodyOptional !== true,
    content: { 'application/json': { schema, ...(spec.example === undefined ? {} : { example: spec.example }) } },
  };
}

function parameters(schema: z.ZodType | undefined, place: 'path' | 'query'): Json[] {
  if (schema === undefined) return [];
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(json.properties ?? {}).map(([name, { description, ...property }]) => ({
    name,
    in: place,
    required: place === 'path' || (json.required ?? []).includes(name),
    ...(description === undefined ? {} : { description }),
    schema: withComponentRefs(property),
  }));
}

function header(name: string, description: string): Json {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } };
}

function answerDoc(answer: AnswerDoc, components: Components): Json {
  const headers = Object.entries(answer.headers ?? {}).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ]);
  return {
    description: answer.description,
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
    ...(answer.schema === undefined
      ? {}
      : { content: { 'application/json': { schema: components.add(answer.schema, 'output') } } }),
  };
}

const REFUSALS: Readonly<Record<string, string>> = {
  400: 'A parameter or header is not valid, or the body is not JSON.',
  401: 'No valid token.',
  403: 'The role does not allow it.',
  404: 'There is no such thing, or it is another tenant’s.',
  409: 'It does not fit the state of the thing.',
  413: 'The body is larger than 1 MB.',
  415: 'The body is not JSON in UTF-8.',
  422: 'The request breaks its schema; `errors` names each field.',
  429: 'Too many wrong credentials; `Retry-After` says when to ask again.',
  503: 'Postgres is away. Nothing was accepted; `Retry-After` says when to ask again.',
};

function refusals(spec: Endpoint): [string, Json][] {
  const statuses = [
    ...(spec.params === undefined && spec.query === undefined && spec.body === undefined ? [] : ['400']),
    '401',
    '403',
    ...(spec.params === undefined ? [] : ['404']),
    ...(spec.body === undefined
      ? []
      : spec.params === undefined
        ? ['413', '415', '422']
        : ['409', '413', '415', '422']),
    '429',
    '503',
  ];
  const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  return statuses.map((status) => [status, { description: REFUSALS[status], content }]);
}
