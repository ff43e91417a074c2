import { listAlerts } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { alertSchema, pageQuery, pageSchema } from './schemas.ts';

const alertsQuery = pageQuery.extend({
  state: z.enum(['open', 'acknowledged', 'resolved']).optional(),
  job: z.string().min(1).max(100).optional(),
});

export function alertRoutes({ producer }: RouteDeps): Endpoint[] {
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
  ];
}
