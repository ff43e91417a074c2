import { CLINIC_PATHS } from './clinic.ts';
import type { DropIn } from './drop-in.ts';
import { GYM_PATHS } from './gym.ts';
import { FUNCTIONS } from './litigation-results.ts';
import { medicationDocs } from './medication-docs.ts';

/** The drop-in and process paths as the OpenAPI document shows them: they take any body and have their seeds' shapes. */
export function dropInDocs(): Record<string, Record<string, unknown>> {
  return {
    ...Object.fromEntries(
      Object.entries(CLINIC_PATHS).flatMap(([name, dropIn]) => {
        const path = cronPath(dropIn, { id: `clinic-${name}`, tag: 'Clinic', tenants: 'facilities' });
        return [[`/api/jobs/${name}`, { get: { ...path, operationId: `clinic-${name}-get` }, post: path }]];
      }),
    ),
    ...Object.fromEntries(
      Object.entries(GYM_PATHS).map(([name, dropIn]) => [
        `/api/cron/${name}`,
        { post: cronPath(dropIn, { id: `gym-${name}`, tag: 'Gym', tenants: 'gyms' }) },
      ]),
    ),
    ...functionPaths(),
    ...medicationDocs(),
    ...PROCESS,
  };
}

function cronPath({ job, sums }: DropIn, of: { readonly id: string; readonly tag: string; readonly tenants: string }) {
  return {
    operationId: of.id,
    tags: [of.tag],
    summary: `Run ${job} for all ${of.tenants} and wait`,
    description: 'Joins runs that are open. Any body is taken and ignored. Hanging up ends the wait, not the runs.',
    security: [{ cronSecret: [] }],
    parameters: [
      {
        name: 'wait',
        in: 'query',
        description: 'Seconds to wait at most; default the timeout of the job.',
        schema: { type: 'integer', minimum: 0, maximum: 300 },
      },
    ],
    responses: {
      200: { description: 'All runs ended; failed items are listed.', content: json(answer(Object.keys(sums))) },
      202: { description: 'Still running: addresses of the runs.', content: json(answer([])) },
      401: { description: 'No or a wrong secret.' },
      500: {
        description: 'A run failed: the same shape, `success` false.',
        content: json(answer(Object.keys(sums))),
      },
      503: { description: 'Postgres is away; ask again after `Retry-After`.' },
    },
  };
}

/** The litigation system's, in its seed's two shapes. */
function functionPaths(): Record<string, Record<string, unknown>> {
  const call = {
    success: { type: 'boolean' },
    job: { type: 'string' },
    executedAt: { type: 'string', format: 'date-time' },
  };
  const failed = { ...call, error: { type: 'string' }, errorDetails: { type: 'string' } };
  return Object.fromEntries(
    Object.entries(FUNCTIONS).map(([name, fields]) => {
      const results = {
        type: 'object',
        properties: Object.fromEntries(fields.map((field) => [field, { type: 'integer' }])),
      };
      const done = { ...call, results, executionTime: { type: 'string', example: '2.3s' } };
      return [
        `/functions/v1/${name}`,
        {
          post: {
            operationId: `litigation-${name}`,
            tags: ['Litigation'],
            summary: `Run litigation.${name} for all firms and wait`,
            description:
              'Joins runs that are open, and waits for what they leave to follow-up runs. Any body is taken and ignored.',
            security: [{ functionsApiKey: [] }],
            responses: {
              200: {
                description: 'All runs ended; item errors leave `success` true.',
                content: json({ type: 'object', properties: done }),
              },
              202: {
                description: 'Still running: `results.tenants` has addresses of the runs.',
                content: json({ type: 'object', properties: done }),
              },
              401: { description: 'No or a wrong key: the text `Unauthorized`.' },
              500: { description: 'A run failed.', content: json({ type: 'object', properties: failed }) },
              503: {
                description: 'Postgres is away; ask again after `Retry-After`.',
                content: json({ type: 'object', properties: failed }),
              },
            },
          },
        },
      ];
    }),
  );
}

const tenants = {
  type: 'array',
  items: {
    type: 'object',
    properties: {
      tenant: { type: 'string' },
      runId: { type: 'string', format: 'uuid' },
      status: { $ref: '#/components/schemas/RunStatus' },
      url: { type: 'string' },
    },
  },
};

function answer(sums: readonly string[]): object {
  const counted = {
    ...Object.fromEntries(sums.map((field) => [field, { type: 'integer' }])),
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: { tenant: { type: 'string' }, item: { type: ['string', 'null'] }, error: { type: 'string' } },
      },
    },
    totalErrors: { type: 'integer' },
    duration: { type: 'integer', description: 'From the first start to the last end, ms.' },
  };
  return {
    type: 'object',
    properties: {
      success: { type: 'boolean' },
      job: { type: 'string' },
      ...(sums.length === 0 ? {} : counted),
      tenants,
    },
  };
}

function json(schema: object): object {
  return { 'application/json': { schema } };
}

const probe = (id: string, summary: string, answers: Readonly<Record<string, string>>) => ({
  get: {
    operationId: id,
    tags: ['Process'],
    summary,
    security: [],
    responses: Object.fromEntries(Object.entries(answers).map(([status, description]) => [status, { description }])),
  },
});

const PROCESS: Record<string, Record<string, unknown>> = {
  '/healthz': probe('health', 'Is the process alive', { 200: 'Yes.' }),
  '/readyz': probe('readiness', 'Can runs be accepted', {
    200: 'Postgres answers with the schema of this build. `redis` tells whether they also start.',
    503: 'Not now.',
  }),
  '/metrics': probe('metrics', 'Prometheus figures', { 200: 'Text format.' }),
};
