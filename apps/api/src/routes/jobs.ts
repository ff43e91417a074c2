import {
  type DefinedJob,
  type FieldProblem,
  jobForInput,
  PRIORITIES,
  retryPolicy,
  runOptionsSchema,
} from '@nightshift/engine';
import { jobLimitsPatchSchema, listJobSettings, listPauses } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { idempotencyOf } from '../http/idempotency.ts';
import { waitSeconds } from '../http/prefer.ts';
import { demandPlatform, MAY_EDIT, MAY_READ, MAY_START } from '../http/principal.ts';
import { schemaProblems } from '../http/problem.ts';
import type { RouteDeps } from './deps.ts';
import { acceptedAnswer } from './run-answer.ts';
import { acceptedSchema, instantInput, jobDetailSchema, jobSchema, pageSchema, runDetailSchema } from './schemas.ts';
import { demandMayStart, isOfOneTenant, tenantOf, tenantProblems } from './whose-run.ts';

const jobParams = z.strictObject({ job: z.string().min(1).max(100).meta({ example: 'gym.commitment-scores' }) });
const YEAR_MS = 366 * 86_400_000;

export const startBody = z
  .strictObject({
    tenant: z
      .string()
      .min(1)
      .max(100)
      .nullish()
      .describe('Slug or id. Not needed with a token that is bound to a tenant, nor for jobs of system scope.'),
    input: z.unknown().optional().describe("Checked against the job's own input schema."),
    priority: z.enum(PRIORITIES).optional().describe("Overrides the job's priority."),
    dueAt: instantInput
      .refine((at) => at.getTime() < Date.now() + YEAR_MS, { error: 'must be within a year' })
      .optional(),
    options: runOptionsSchema.optional(),
  })
  .meta({ id: 'StartRun' });

export function jobRoutes(deps: RouteDeps): Endpoint[] {
  const { catalogue } = deps.producer;
  return [
    endpoint({
      method: 'get',
      path: '/v1/jobs',
      id: 'listJobs',
      tag: 'Jobs',
      summary: 'All jobs',
      roles: MAY_READ,
      answers: { 200: { description: 'The catalogue, by system.', schema: pageSchema(jobSchema) } },
      handle: async () => ({ status: 200, body: { items: catalogue.jobs.map(jobAnswer), nextCursor: null } }),
    }),
    endpoint({
      method: 'get',
      path: '/v1/jobs/{job}',
      id: 'getJob',
      tag: 'Jobs',
      summary: 'One job and the schema of its input',
      roles: MAY_READ,
      params: jobParams,
      answers: { 200: { description: 'The job.', schema: jobDetailSchema } },
      handle: async ({ params, principal }) => ({
        status: 200,
        body: await jobDetail(deps, catalogue.get(params.job), principal.tenantId),
      }),
    }),
    startRun(deps),
    changeSettings(deps),
  ];
}

const option = runOptionsSchema.shape;

/** Null takes a setting away. `dryRun` is a caller's wish for one run, never a job's setting. */
const settingsBody = z
  .strictObject({
    tenant: z.string().min(1).max(100).optional().describe('Slug or id: only this tenant’s runs. Default: all.'),
    options: z
      .strictObject({
        batchSize: option.batchSize.nullable(),
        batchDelayMs: option.batchDelayMs.nullable(),
        timeoutMs: option.timeoutMs.nullable(),
        shards: option.shards.nullable(),
      })
      .optional(),
    limits: jobLimitsPatchSchema.optional(),
  })
  .refine((body) => body.options !== undefined || body.limits !== undefined, { error: 'name options or limits' })
  .refine((body) => body.tenant === undefined || (body.limits?.perTenantConcurrency ?? null) === null, {
    error: 'is a limit of the job: give the tenant `concurrency` instead',
    path: ['limits', 'perTenantConcurrency'],
  })
  .meta({ id: 'JobSettingsPatch' });

function changeSettings(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'patch',
    path: '/v1/jobs/{job}/settings',
    id: 'changeJobSettings',
    tag: 'Jobs',
    summary: 'Change options and limits of a job, for all tenants or one',
    description:
      'In force within 2 s, for runs accepted from then on (options) and for all that wait (limits). Fields that are not named stay; null takes one away.',
    roles: MAY_EDIT,
    params: jobParams,
    body: settingsBody,
    example: { limits: { concurrency: 10, perTenantConcurrency: 2 } },
    answers: { 200: { description: 'The job as it is now.', schema: jobDetailSchema } },
    admit: ({ job }, principal) => {
      producer.catalogue.get(job);
      demandPlatform(principal);
    },
    handle: async ({ params, body, principal }) => {
      const job = producer.catalogue.get(params.job);
      const tenant = body.tenant === undefined ? null : await producer.resolveTenant(job, body.tenant);
      const { options, limits } = body;
      await producer.setJobSettings(job.name, tenant?.id ?? null, { options, limits }, principal.sub);
      return { status: 200, body: await jobDetail(deps, job, principal.tenantId) };
    },
  });
}

function startRun(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'post',
    path: '/v1/jobs/{job}/runs',
    id: 'startRun',
    tag: 'Jobs',
    summary: 'Enqueue a run',
    description:
      'Durable once it is answered. A scheduled job that is started with its default input joins a run of it that is still open.',
    roles: MAY_START,
    params: jobParams,
    body: startBody,
    example: { tenant: 'iron-works', input: {} },
    takesIdempotencyKey: true,
    takesPrefer: true,
    answers: {
      202: { description: 'Accepted.', schema: acceptedSchema, headers: { Location: 'Address of the run.' } },
      200: { description: 'Ended within the time of `Prefer: wait=N`.', schema: runDetailSchema },
    },
    alsoWrong: (given, { job }, principal) => [
      ...tenantProblems(producer.catalogue.get(job), given.tenant, principal),
      ...inputProblems(producer.catalogue.get(job), given.input),
    ],
    // A job with runs of one tenant is looked at again when its input is known.
    admit: ({ job: name }, principal) => {
      const job = producer.catalogue.get(name);
      demandMayStart(job, principal, job.ofOneTenant !== undefined);
    },
    handle: async ({ params, body, principal, req, signal }) => {
      const seconds = waitSeconds(req.headers.prefer);
      const idempotency = idempotencyOf(req, principal, body);
      const job = producer.catalogue.get(params.job);
      demandMayStart(job, principal, isOfOneTenant(job, body.input));
      const tenant = await tenantOf(producer, job, body.tenant ?? null, principal);
      const { input, priority, dueAt, options } = body;
      const accepted = await producer.accept(
        { job: job.name, tenant, input: input ?? {}, priority, dueAt, options: definedOnly(options), idempotency },
        principal.sub,
      );
      return await acceptedAnswer(deps, accepted, { seconds, signal, principal });
    },
  });
}

function inputProblems(job: DefinedJob, input: unknown): FieldProblem[] {
  const parsed = jobForInput(job, input).input.safeParse(input ?? {});
  if (parsed.success) return [];
  return schemaProblems(parsed.error).map((problem) => ({ ...problem, pointer: `/input${problem.pointer}` }));
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** `{a: undefined}` would override what a tenant or a job has set for `a`. */
export function definedOnly<T extends object>(value: T | undefined): Defined<T> | undefined {
  if (value === undefined) return undefined;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Defined<T>;
}

function jobAnswer(job: DefinedJob): z.input<typeof jobSchema> {
  const { schedule } = job;
  return {
    name: job.name,
    url: `/v1/jobs/${job.name}`,
    title: job.title,
    description: job.description,
    system: job.system,
    kind: job.kind,
    scope: job.scope,
    priority: job.priority,
    queue: job.queue,
    schedule:
      schedule === undefined ? null : { cron: schedule.cron, zone: schedule.zone, after: schedule.after ?? null },
    retry: retryPolicy(job.priority, job.retry),
    typicalMs: job.typicalMs,
    maxMs: job.maxMs,
    targets: { successAbove: 0.95, errorsBelow: 0.05 },
    options: { ...job.options },
    platformOnly: job.access === 'platform' || (job.scope === 'system' && job.ofOneTenant === undefined),
  };
}

async function jobDetail({ producer }: RouteDeps, job: DefinedJob, tenantId: string | null): Promise<object> {
  const inputSchema = z.toJSONSchema(job.input, { io: 'input', unrepresentable: 'any' });
  const [settings, pauses] = await Promise.all([
    listJobSettings(producer.pools, job.name, tenantId),
    listPauses(producer.pools),
  ]);
  const pause = pauses.find((one) => one.kind === 'job' && one.key === job.name);
  return {
    ...jobAnswer(job),
    inputVersion: job.inputVersion,
    inputSchema,
    limits: { ...job.limits },
    settings,
    paused: pause === undefined ? null : { by: pause.by, reason: pause.reason, at: pause.at },
  };
}
