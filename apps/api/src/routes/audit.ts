import { listAudit } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { auditSchema, instantInput, pageQuery, pageSchema } from './schemas.ts';

const auditQuery = pageQuery.extend({
  actor: z.string().min(1).max(200).optional(),
  action: z.string().min(1).max(100).optional().describe('Such as run.accepted or request.refused.'),
  run: z.guid().optional(),
  since: instantInput.optional(),
  until: instantInput.optional(),
});

export function auditRoutes({ producer }: RouteDeps): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/v1/audit',
      id: 'listAudit',
      tag: 'Records',
      summary: 'Who did what, newest first',
      roles: MAY_READ,
      query: auditQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(auditSchema) } },
      handle: async ({ query, principal }) => {
        const { run, ...filter } = query;
        const page = await listAudit(producer.pools, { ...filter, runId: run, tenantId: principal.tenantId });
        return { status: 200, body: page };
      },
    }),
  ];
}
