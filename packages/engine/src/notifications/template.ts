import type { z } from 'zod';
import { DeclarationError, InvalidInputError } from '../errors.ts';
import { fieldProblems } from '../new-run.ts';
import type { Html } from './html.ts';

// A list of templates has data of different types; `unknown` in their parameters would refuse each of them.
// biome-ignore lint/suspicious/noExplicitAny: see above
type AnyData = any;

/** A message that WhatsApp has approved, which is all that may open a conversation. */
export interface WhatsAppTemplate {
  /** As approved in the business account. */
  readonly template: string;
  /** BCP 47 with underscore, such as `en` or `en_US`. */
  readonly language: string;
  /** Of the body, in order. */
  readonly parameters: readonly string[];
}

export interface Template<Data extends z.ZodType = z.ZodType<AnyData>> {
  /** `<system>.<words>`; permanent: stored rows name it. */
  readonly name: string;
  /** What the data must be. It reads stored JSON, also that of earlier deploys: dates are texts in it. */
  readonly data: Data;
  /** One line: line breaks become spaces, 200 characters at most. */
  readonly subject: (data: z.output<Data>) => string;
  /** The mail's plain text, and the whole message on WhatsApp and in webhooks. */
  readonly text: (data: z.output<Data>) => string;
  /** The body of the mail's HTML part; absent: the mail has none. Every value put into `html` is escaped. */
  readonly html?: (data: z.output<Data>) => Html;
  /** Absent: the text is sent, which WhatsApp delivers only within 24 h of the person's own last message. */
  readonly whatsapp?: (data: z.output<Data>) => WhatsAppTemplate;
}

const SUBJECT_MAX = 200;

/** Declares a template: checked and frozen at import. Errors: `DeclarationError`. */
export function defineTemplate<Data extends z.ZodType>(template: Template<Data>): Template<Data> {
  if (!/^[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*$/.test(template.name)) {
    throw new DeclarationError('A template is not declared right', [
      `expected a name like 'litigation.hearing-reminder', got '${template.name}'`,
    ]);
  }
  return Object.freeze({ ...template });
}

/** Templates by name. Errors: `DeclarationError` for two of one name. */
export function templatesByName(templates: readonly Template<AnyData>[]): ReadonlyMap<string, Template> {
  const byName = new Map(templates.map((template) => [template.name, template as Template]));
  if (byName.size === templates.length) return byName;
  const twice = templates.filter((one, i) => templates.findIndex((other) => other.name === one.name) !== i);
  throw new DeclarationError(
    'The templates do not fit together',
    twice.map((one) => `'${one.name}' is declared twice`),
  );
}

/** A filled template. */
export interface Rendered {
  readonly subject: string;
  readonly text: string;
  readonly html: string | null;
  readonly whatsapp: WhatsAppTemplate | null;
}

/** Errors: `InvalidInputError` naming the fields that do not fit, never their values; whatever the template throws. */
export function render(template: Template, data: unknown): Rendered {
  const parsed = checkedData(template, data);
  // A line break would begin a header of its own; what is left of control characters confuses mail readers.
  const subject = template.subject(parsed).replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
  return {
    subject: subject.trim().slice(0, SUBJECT_MAX),
    text: template.text(parsed),
    html: template.html === undefined ? null : template.html(parsed).text,
    whatsapp: template.whatsapp?.(parsed) ?? null,
  };
}

/** Errors: `InvalidInputError`. */
export function checkedData(template: Template, data: unknown): unknown {
  const parsed = template.data.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new InvalidInputError(`Data of template '${template.name}' is not valid`, fieldProblems(parsed.error, '/data'));
}
