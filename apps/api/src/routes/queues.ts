import { listPauses, listQueues, type PauseKind, type PauseView } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { demandPlatform, MAY_CONTROL, MAY_READ, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { pageSchema, pauseSchema, queueSchema } from './schemas.ts';

const pauseBody = z
  .strictObject({ reason: z.string().trim().min(1).max(500).optional().describe('Told to whoever asks.') })
  .meta({ id: 'Pause' });
const noBody = z.strictObject({});

const name = z.string().min(1).max(100);
/** What stands in the address, and the texts of the document. */
const PAUSED = {
  queue: { path: '/v1/queues/{queue}', params: z.strictObject({ queue: name }), example: 'gym' },
  job: { path: '/v1/jobs/{job}', params: z.strictObject({ job: name }), example: 'gym.coach-actions' },
  tenant: { path: '/v1/tenants/{id}', params: z.strictObject({ id: z.guid() }), example: '' },
} as const;

/** Queues as they stand, and what may be kept from starting runs: a queue, a job, a tenant. */
export function queueRoutes(deps: RouteDeps): Endpoint[] {
  const kinds = ['queue', 'job', 'tenant'] as const;
  return [...listing(deps), ...kinds.flatMap((kind) => [pausing(deps, kind), resuming(deps, kind)])];
}

function listing({ producer }: RouteDeps): Endpoint[] {
  const common = { method: 'get', tag: 'Queues', roles: MAY_READ, admit: platformOnly } as const;
  return [
    endpoint({
      ...common,
      path: '/v1/queues',
      id: 'listQueues',
      summary: 'All queues: what waits, how long, what is in hand, who paused it',
      answers: { 200: { description: 'All of them.', schema: pageSchema(queueSchema) } },
      handle: async () => ({
        status: 200,
        body: { items: await listQueues(producer.pools, producer.catalogue), nextCursor: null },
      }),
    }),
    endpoint({
      ...common,
      path: '/v1/pauses',
      id: 'listPauses',
      summary: 'Everything that is paused, the oldest first',
      answers: { 200: { description: 'All of it.', schema: pageSchema(pauseSchema) } },
      handle: async () => ({ status: 200, body: { items: await listPauses(producer.pools), nextCursor: null } }),
    }),
  ];
}

function pausing({ producer }: RouteDeps, kind: PauseKind): Endpoint {
  return endpoint({
    method: 'post',
    path: `${PAUSED[kind].path}/pause`,
    id: `pause${capital(kind)}`,
    tag: 'Queues',
    summary: `Start no more runs of this ${kind}`,
    description:
      'Nothing is lost: runs are accepted and wait, and what is being executed goes on. Paused already: the first pause stands.',
    roles: MAY_CONTROL,
    params: PAUSED[kind].params,
    body: pauseBody,
    bodyOptional: true,
    example: { reason: 'the laboratory sends wrong values' },
    answers: { 200: { description: 'The pause in force.', schema: pauseSchema } },
    admit: (params, principal) => demandMaySwitch(kind, params, principal),
    handle: async ({ params, body, principal }) => {
      const pause: PauseView = await producer.pause(kind, keyOf(params), principal.sub, body.reason);
      return { status: 200, body: pause };
    },
  });
}

function resuming({ producer }: RouteDeps, kind: PauseKind): Endpoint {
  return endpoint({
    method: 'post',
    path: `${PAUSED[kind].path}/resume`,
    id: `resume${capital(kind)}`,
    tag: 'Queues',
    summary: `Start runs of this ${kind} again`,
    roles: MAY_CONTROL,
    params: PAUSED[kind].params,
    body: noBody,
    bodyOptional: true,
    answers: {
      200: {
        description: 'It starts runs.',
        schema: z.strictObject({ resumed: z.boolean().describe('False: it was not paused.') }),
      },
    },
    admit: (params, principal) => demandMaySwitch(kind, params, principal),
    handle: async ({ params, principal }) => ({
      status: 200,
      body: { resumed: await producer.resume(kind, keyOf(params), principal.sub) },
    }),
  });
}

type PausedParams = { readonly queue: string } | { readonly job: string } | { readonly id: string };

function keyOf(params: PausedParams): string {
  if ('queue' in params) return params.queue;
  return 'job' in params ? params.job : params.id.toLowerCase();
}

/** A queue and a job are many tenants': one tenant's operator may not stop them for the others, but may stop its own tenant. */
function demandMaySwitch(kind: PauseKind, params: PausedParams, principal: Principal): void {
  if (kind === 'tenant' && principal.tenantId === keyOf(params)) return;
  demandPlatform(principal);
}

function platformOnly(_params: unknown, principal: Principal): void {
  demandPlatform(principal);
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
