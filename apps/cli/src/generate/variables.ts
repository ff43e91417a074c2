import { envSchema as apiEnvSchema } from '@nightshift/api/env';
import { workerEnvSchema } from '@nightshift/worker/env';
import { z } from 'zod';
import { cliEnvSchema, composeEnvSchema } from '../env.ts';

/** An environment variable, as the schemas that check it describe it. */
export interface Variable {
  readonly name: string;
  readonly description: string;
  /** Null where it has none. */
  readonly default: string | null;
  readonly required: boolean;
  readonly readers: readonly Reader[];
}

/** Who reads variables, each with the schema that checks them. */
export const READERS = {
  api: apiEnvSchema,
  worker: workerEnvSchema,
  'command line': cliEnvSchema,
  'docker compose': composeEnvSchema,
} as const;
export type Reader = keyof typeof READERS;

/** Every variable that something reads, in the order of the schemas; one that several read stands once. */
export function listVariables(): Variable[] {
  const variables = new Map<string, Variable>();
  for (const [reader, schema] of Object.entries(READERS) as [Reader, z.ZodObject][]) {
    const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
    for (const [name, property] of Object.entries(properties)) {
      if (typeof property === 'boolean') continue;
      const known = variables.get(name);
      variables.set(name, {
        name,
        description: known?.description ?? property.description ?? '',
        default: known?.default ?? (property.default === undefined ? null : String(property.default)),
        required: (known?.required ?? false) || required.includes(name),
        readers: [...(known?.readers ?? []), reader],
      });
    }
  }
  return [...variables.values()];
}
