import {
  listNotifications,
  NOTIFICATION_CHANNELS,
  NOTIFICATION_STATES,
  resendNotification,
} from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_CONTROL, MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { idParams, instant, pageQuery, pageSchema, prioritySchema } from './schemas.ts';

const notificationsQuery = pageQuery.extend({
  tenant: z.string().min(1).max(100).optional().describe('Slug or id.'),
  job: z.string().min(1).max(100).optional(),
  run: z.guid().optional().describe('What this run made.'),
  channel: z.enum(NOTIFICATION_CHANNELS).optional(),
  state: z.enum(NOTIFICATION_STATES).optional(),
});

const notificationSchema = z
  .strictObject({
    id: z.guid(),
    tenantId: z.guid(),
    tenant: z.string().nullable(),
    runId: z.guid().nullable(),
    job: z.string().nullable(),
    dedupeKey: z.string().describe('Unique within the tenant: the same message is never made twice.'),
    channel: z.enum(NOTIFICATION_CHANNELS),
    template: z.string(),
    priority: prioritySchema,
    state: z.enum(NOTIFICATION_STATES),
    attempts: z.int(),
    createdAt: instant,
    dueAt: instant,
    sentAt: instant.nullable(),
    endedAt: instant.nullable(),
    providerId: z.string().nullable(),
    outcome: z.string().nullable().describe('What the other side answered, or why it was not sent.'),
    errorClass: z.string().nullable(),
  })
  .meta({ id: 'Notification' });

const noBody = z.strictObject({});

/** Recipients and contents are encrypted, and shown to nobody. */
export function notificationRoutes({ producer }: RouteDeps): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/v1/notifications',
      id: 'listNotifications',
      tag: 'Records',
      summary: 'Mails and messages that runs made, newest first',
      description: 'With what became of each. Recipients and contents are not shown.',
      roles: MAY_READ,
      query: notificationsQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(notificationSchema) } },
      handle: async ({ query: { tenant, run, ...filter }, principal }) => ({
        status: 200,
        body: await listNotifications(producer.pools, {
          ...filter,
          ofTenant: tenant,
          runId: run,
          tenantId: principal.tenantId,
        }),
      }),
    }),
    endpoint({
      method: 'post',
      path: '/v1/notifications/{id}/resend',
      id: 'resendNotification',
      tag: 'Records',
      summary: 'Send one again that failed, expired, was suppressed or is of unknown outcome',
      description: 'Where the outcome is unknown it may arrive twice: with the same Message-ID or Idempotency-Key.',
      roles: MAY_CONTROL,
      params: idParams,
      body: noBody,
      answers: {
        200: { description: 'It waits to be sent.', schema: z.strictObject({ resent: z.literal(true) }) },
      },
      handle: async ({ params, principal }) => {
        await resendNotification(producer.pools.ops, params.id, principal.sub, principal.tenantId);
        return { status: 200, body: { resent: true } };
      },
    }),
  ];
}
