import { findTenantDetail, limitsPatchSchema, listTenants } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { demandPlatform, MAY_EDIT, MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { idParams, pageQuery, pageSchema, tenantDetailSchema, tenantSchema } from './schemas.ts';

const tenantBody = z
  .strictObject({ limits: limitsPatchSchema.describe('Fields that are not named stay; null takes one away.') })
  .meta({ id: 'TenantPatch' });

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
    endpoint({
      method: 'get',
      path: '/v1/tenants/{id}',
      id: 'getTenant',
      tag: 'Records',
      summary: 'One tenant, with its limits and its pause',
      roles: MAY_READ,
      params: idParams,
      answers: { 200: { description: 'The tenant.', schema: tenantDetailSchema } },
      handle: async ({ params, principal }) => ({
        status: 200,
        body: await findTenantDetail(producer.pools, params.id, principal.tenantId),
      }),
    }),
    endpoint({
      method: 'patch',
      path: '/v1/tenants/{id}',
      id: 'changeTenant',
      tag: 'Records',
      summary: 'Change the limits of a tenant’s runs',
      description: 'In force within 2 s. They hold over all jobs of the tenant’s system.',
      roles: MAY_EDIT,
      params: idParams,
      body: tenantBody,
      example: { limits: { concurrency: 20, perMinute: 600 } },
      answers: { 200: { description: 'The tenant as it is now.', schema: tenantDetailSchema } },
      admit: (_params, principal) => demandPlatform(principal),
      handle: async ({ params, body, principal }) => {
        await producer.setTenantLimits(params.id, body.limits, principal.sub);
        return { status: 200, body: await findTenantDetail(producer.pools, params.id, null) };
      },
    }),
  ];
}
