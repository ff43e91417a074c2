import { defineTemplate, html, type Template } from '@nightshift/engine';
import { z } from 'zod';

// What stands in a subject or on a locked screen is read by others: a medicine is named only where its user asked for that
// (`users.names_in_texts`), and nothing else says what the message is about.

const medicine = z.string().nullable().describe('Null: the user did not ask for names.');

export const doseReminder = defineTemplate({
  name: 'medication.dose-reminder',
  data: z.object({ time: z.string(), medicine, dose: z.string().nullable() }),
  subject: ({ time }) => `Your ${time} reminder`,
  text: (data) => `${reminderLine(data)}\n\nIf you have seen to it already, there is nothing to do.\n`,
  html: (data) => html`<p>${reminderLine(data)}</p><p>If you have seen to it already, there is nothing to do.</p>`,
});

function reminderLine({
  time,
  medicine,
  dose,
}: {
  time: string;
  medicine: string | null;
  dose: string | null;
}): string {
  if (medicine === null) return `This is your ${time} reminder.`;
  return `This is your ${time} reminder: ${medicine}${dose === null ? '' : `, ${dose}`}.`;
}

export const supplyAlert = defineTemplate({
  name: 'medication.supply-alert',
  data: z.object({ runOutOn: z.string(), daysLeft: z.number(), medicine }),
  subject: () => 'One of your supplies is running low',
  text: (data) => `${supplyLine(data)}\nPlease see to a refill.\n`,
  html: (data) => html`<p>${supplyLine(data)}</p><p>Please see to a refill.</p>`,
});

function supplyLine(data: { runOutOn: string; daysLeft: number; medicine: string | null }): string {
  const what = data.medicine === null ? 'One of your supplies' : `Your supply of ${data.medicine}`;
  return `${what} lasts until ${data.runOutOn} (${data.daysLeft} ${data.daysLeft === 1 ? 'day' : 'days'} left).`;
}

export const medicationTemplates: readonly Template[] = [doseReminder, supplyAlert] as readonly Template[];
