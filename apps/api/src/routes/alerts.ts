import { findAlert, listAlerts } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_CONTROL, MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { alertSchema, idParams, pageQuery, pageSchema } from './schemas.ts';

const alertsQuery = pageQuery.extend({
  state: z.enum(['open', 'acknowledged', 'resolved']).optional(),
  severity: z.enum(['CRITICAL', 'WARNING', 'INFO']).optional(),
  job: z.string().min(1).max(100).optional(),
});
const noBody = z.strictObject({});

/** A tenant's token sees and answers that tenant's alerts; the platform's own (a failed request, a missed tick) are for platform tokens. */
export function alertRoutes(deps: RouteDeps): Endpoint[] {
  return [...reading(deps), answering(deps, 'acknowledge'), answering(deps, 'resolve')];
}

function reading({ producer }: RouteDeps): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/v1/alerts',
      id: 'listAlerts',
      tag: 'Records',
      summary: 'Conditions that a person should know about, newest first',
      roles: MAY_READ,
      query: alertsQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(alertSchema) } },
      handle: async ({ query, principal }) => ({
        status: 200,
        body: await listAlerts(producer.pools, { ...query, tenantId: principal.tenantId }),
      }),
    }),
    endpoint({
      method: 'get',
      path: '/v1/alerts/{id}',
      id: 'getAlert',
      tag: 'Records',
      summary: 'One alert',
      roles: MAY_READ,
      params: idParams,
      answers: { 200: { description: 'The alert.', schema: alertSchema } },
      handle: async ({ params, principal }) => ({
        status: 200,
        body: await findAlert(producer.pools, params.id, principal.tenantId),
      }),
    }),
  ];
}

const ANSWERS = {
  acknowledge: {
    summary: 'Say that somebody looks after it',
    description:
      'It stays until its condition is gone, and is counted on. Acknowledged already: the first stands. Resolved: 409.',
  },
  resolve: {
    summary: 'Call it over',
    description: 'Resolved already: nothing changes. Should its condition be seen again, that is a new alert.',
  },
} as const;

function answering({ producer }: RouteDeps, answer: keyof typeof ANSWERS): Endpoint {
  return endpoint({
    method: 'post',
    path: `/v1/alerts/{id}/${answer}`,
    id: `${answer}Alert`,
    tag: 'Records',
    ...ANSWERS[answer],
    roles: MAY_CONTROL,
    params: idParams,
    body: noBody,
    bodyOptional: true,
    answers: { 200: { description: 'The alert as it stands now.', schema: alertSchema } },
    handle: async ({ params, principal }) => {
      await producer.alerts[answer](params.id, principal.sub, principal.tenantId);
      return { status: 200, body: await findAlert(producer.pools, params.id, principal.tenantId) };
    },
  });
}
