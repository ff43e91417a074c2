import { type FieldProblem, UnknownTenantError } from '@nightshift/engine';
import { listPreferences, NOTIFICATION_CHANNELS, preferenceSchema, setPreference } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_CONTROL, MAY_READ, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { instant, pageQuery, pageSchema } from './schemas.ts';

const preferencesQuery = pageQuery.extend({
  tenant: z.string().min(1).max(100).optional().describe('Slug or id.'),
  userKey: z.string().min(1).max(200).optional(),
  channel: z.enum(NOTIFICATION_CHANNELS).optional(),
});

const preferenceBody = preferenceSchema
  .safeExtend({
    tenant: z.guid().nullish().describe('Id. A token that is bound to a tenant sets its own and may leave it out.'),
  })
  .meta({ id: 'NotificationPreferenceBody' });

const time = z.string().nullable().describe('HH:MM, local time of the tenant.');
const preferenceView = z
  .strictObject({
    tenantId: z.guid(),
    tenant: z.string().nullable(),
    userKey: z.string(),
    channel: z.enum(NOTIFICATION_CHANNELS),
    enabled: z.boolean(),
    quietFrom: time,
    quietUntil: time,
    updatedAt: instant,
  })
  .meta({ id: 'NotificationPreference' });

/** Which users want what of a channel. */
export function notificationPreferenceRoutes({ producer }: RouteDeps): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/v1/notification-preferences',
      id: 'listNotificationPreferences',
      tag: 'Records',
      summary: 'Users who want less than everything, by tenant, user and channel',
      description: 'Who is not in it wants every message of the channel, at any hour.',
      roles: MAY_READ,
      query: preferencesQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(preferenceView) } },
      handle: async ({ query: { tenant, ...filter }, principal }) => ({
        status: 200,
        body: await listPreferences(producer.pools, { ...filter, ofTenant: tenant, tenantId: principal.tenantId }),
      }),
    }),
    endpoint({
      method: 'put',
      path: '/v1/notification-preferences',
      id: 'setNotificationPreference',
      tag: 'Records',
      summary: 'Set what a user wants of a channel',
      description: 'It replaces what the user wanted before, and holds for messages that wait already.',
      roles: MAY_CONTROL,
      body: preferenceBody,
      example: { userKey: 'member-17', channel: 'email', enabled: true, quietFrom: '22:00', quietUntil: '07:00' },
      answers: { 200: { description: 'The preference as it is now.', schema: preferenceView } },
      alsoWrong: (given, _params, principal) => tenantMissing(given.tenant, principal),
      handle: async ({ body: { tenant, ...preference }, principal }) => {
        const tenantId = principal.tenantId ?? tenant ?? '';
        if ((tenant ?? tenantId).toLowerCase() !== tenantId.toLowerCase())
          throw new UnknownTenantError('(another)', 'any');
        return { status: 200, body: await setPreference(producer.pools.ops, tenantId, preference, principal.sub) };
      },
    }),
  ];
}

function tenantMissing(named: unknown, principal: Principal): FieldProblem[] {
  if (principal.tenantId !== null || (named !== undefined && named !== null)) return [];
  return [{ pointer: '/tenant', code: 'required', detail: 'name the tenant, by id' }];
}
