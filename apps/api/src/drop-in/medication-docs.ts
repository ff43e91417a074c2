import { z } from 'zod';
import { MEDICATION_PATHS } from './medication.ts';

/** The medication paths as the OpenAPI document shows them. */
export function medicationDocs(): Record<string, Record<string, unknown>> {
  const problem = (description: string) => ({
    description,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  });
  const paths = Object.entries(MEDICATION_PATHS).map(([name, { job, body }]) => {
    const { $schema: _, id: __, ...schema } = z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' });
    const post = {
      operationId: `medication-${name}`,
      tags: ['Medication'],
      summary: name === 'backup' ? `Run ${job}, for admins` : `Run ${job} for the organisation of the token`,
      description:
        'Checked in this order: size, type and rate, schema, token, role, then whether user and medications exist.',
      security: [{ token: [] }],
      parameters: [
        {
          name: 'Prefer',
          in: 'header',
          description: '`wait=N`: wait so many seconds for the end.',
          schema: { type: 'string' },
        },
        { name: 'Idempotency-Key', in: 'header', schema: { type: 'string', maxLength: 255 } },
      ],
      requestBody: { required: true, content: { 'application/json': { schema } } },
      responses: {
        200: { description: 'Ended within the time of `Prefer: wait=N`: the run with its result.' },
        202: { description: 'Accepted: id and address of the run.' },
        400: problem('The body breaks its schema.'),
        401: problem('No or a wrong token.'),
        403: problem('The role or the organisation is not the one that may.'),
        404: problem('No such user or medication in the organisation.'),
        413: problem('Larger than 64 kB.'),
        415: problem('Not application/json.'),
        429: problem('Too many requests of one address in a minute.'),
        500: problem('Something went wrong here; an alert is raised.'),
        503: problem('Postgres is away; ask again after `Retry-After`.'),
      },
    };
    return [`/api/v1/jobs/${name}`, { post }];
  });
  return Object.fromEntries(paths);
}
