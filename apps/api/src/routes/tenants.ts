import { listTenants } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { pageQuery, pageSchema, tenantSchema } from './schemas.ts';

const tenantsQuery = pageQuery.extend({
  system: z.string().min(1).max(50).optional().describe('Such as gym.'),
});

export function tenantRoutes({ producer }: RouteDeps): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/v1/tenants',
      id: 'listTenants',
      tag: 'Records',
      summary: 'Tenants, by system and slug',
      roles: MAY_READ,
      query: tenantsQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(tenantSchema) } },
      handle: async ({ query, principal }) => ({
        status: 200,
        body: await listTenants(producer.pools, { ...query, tenantId: principal.tenantId }),
      }),
    }),
  ];
}
