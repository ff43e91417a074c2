import { defineTemplate, html } from '@nightshift/engine';
import { z } from 'zod';

const line = z.string().min(1);

const list = (items: readonly string[]) => html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;

/** Seed: subject "Hearing Reminder: [Case Number] - [Court Name]". */
export const hearingReminder = defineTemplate({
  name: 'litigation.hearing-reminder',
  data: z.object({
    caseNumber: line,
    caseTitle: line,
    /** As people say it, in the firm's zone. */
    date: line,
    time: line,
    court: line,
    city: line,
    address: z.string().nullable(),
    checklist: z.array(line),
    rescheduled: z.boolean(),
    url: z.url(),
  }),
  subject: (d) => `${d.rescheduled ? 'Rescheduled: ' : ''}Hearing Reminder: ${d.caseNumber} - ${d.court}`,
  text: (d) =>
    [
      d.rescheduled ? 'Rescheduled: the time or court of this hearing has changed.\n' : null,
      `Case: ${d.caseNumber}, ${d.caseTitle}`,
      `Date: ${d.date}, ${d.time}`,
      `Court: ${d.court}, ${d.city}`,
      d.address === null ? null : `Address: ${d.address}`,
      d.checklist.length === 0
        ? null
        : `\nPreparation checklist:\n${d.checklist.map((item) => `- ${item}`).join('\n')}`,
      `\n${d.url}`,
    ]
      .filter((part) => part !== null)
      .join('\n'),
  html: (
    d,
  ) => html`${d.rescheduled ? html`<p><strong>Rescheduled:</strong> the time or court of this hearing has changed.</p>` : ''}
<table><tr><th align="left">Case</th><td>${d.caseNumber}, ${d.caseTitle}</td></tr>
<tr><th align="left">Date</th><td>${d.date}, ${d.time}</td></tr>
<tr><th align="left">Court</th><td>${d.court}, ${d.city}</td></tr>
${d.address === null ? '' : html`<tr><th align="left">Address</th><td>${d.address}</td></tr>`}</table>
${d.checklist.length === 0 ? '' : html`<h2>Preparation checklist</h2>${list(d.checklist)}`}
<p><a href="${d.url}">Open the hearing</a></p>`,
});

const deadline = z.object({
  kind: z.enum(['Task', 'Hearing']),
  title: line,
  /** Where, for a hearing. */
  court: z.string().nullable(),
  /** `Today 5:00 PM`. */
  when: line,
  /** Null where the date cannot be moved. */
  rescheduleUrl: z.url().nullable(),
  /** Null for a hearing. */
  completeUrl: z.url().nullable(),
});
export type DeadlineLine = z.output<typeof deadline>;

const told = (d: DeadlineLine) =>
  d.kind === 'Hearing'
    ? `[Hearing] ${d.title}${d.court === null ? '' : ` at ${d.court}`} - ${d.when}`
    : `[Task] ${d.title} - Due: ${d.when}`;

const deadlineText = (d: DeadlineLine) =>
  [
    `• ${told(d)}`,
    d.rescheduleUrl === null ? null : `  Reschedule: ${d.rescheduleUrl}`,
    d.completeUrl === null ? null : `  Mark Complete: ${d.completeUrl}`,
  ]
    .filter((part) => part !== null)
    .join('\n');

const deadlineHtml = (d: DeadlineLine) =>
  html`<li>${told(d)}${d.rescheduleUrl === null ? '' : html` <a href="${d.rescheduleUrl}">Reschedule</a>`}${
    d.completeUrl === null ? '' : html` <a href="${d.completeUrl}">Mark Complete</a>`
  }</li>`;

/** The seed's notification format, one a user and local day. */
export const deadlineDigest = defineTemplate({
  name: 'litigation.deadline-digest',
  data: z.object({
    high: z.array(deadline),
    normal: z.array(deadline),
    /** Those that did not fit. */
    more: z.int().min(0),
    allUrl: z.url(),
  }),
  subject: (d) => {
    const n = d.high.length + d.normal.length + d.more;
    return `Your Upcoming Deadlines (Next 24 Hours): ${n}${d.high.length === 0 ? '' : `, ${d.high.length} high priority`}`;
  },
  text: (d) =>
    [
      '📋 Your Upcoming Deadlines (Next 24 Hours)',
      d.high.length === 0 ? null : `HIGH PRIORITY:\n${d.high.map(deadlineText).join('\n')}`,
      d.normal.length === 0 ? null : `NORMAL PRIORITY:\n${d.normal.map(deadlineText).join('\n')}`,
      `${d.more === 0 ? '' : `and ${d.more} more. `}View All Deadlines: ${d.allUrl}`,
    ]
      .filter((part) => part !== null)
      .join('\n\n'),
  html: (d) => html`<h1>📋 Your Upcoming Deadlines (Next 24 Hours)</h1>
${d.high.length === 0 ? '' : html`<h2>HIGH PRIORITY</h2><ul>${d.high.map(deadlineHtml)}</ul>`}
${d.normal.length === 0 ? '' : html`<h2>NORMAL PRIORITY</h2><ul>${d.normal.map(deadlineHtml)}</ul>`}
<p>${d.more === 0 ? '' : `and ${d.more} more. `}<a href="${d.allUrl}">View All Deadlines</a></p>`,
});

/** What a rule's author wrote, plain text. */
export const ruleNotification = defineTemplate({
  name: 'litigation.rule-notification',
  data: z.object({ subject: line, text: line, rule: line }),
  subject: (d) => d.subject,
  text: (d) => `${d.text}\n\nSent by the automation rule "${d.rule}".`,
  html: (d) =>
    html`${d.text.split('\n').map((part) => html`<p>${part}</p>`)}<p><small>Sent by the automation rule “${d.rule}”.</small></p>`,
});

/** What the daily health check of the automation found, to the firm's admins. */
export const healthAlert = defineTemplate({
  name: 'litigation.health-alert',
  data: z.object({
    firm: line,
    severity: z.enum(['CRITICAL', 'WARNING', 'INFO']),
    alerts: z.array(z.object({ severity: z.enum(['CRITICAL', 'WARNING', 'INFO']), message: line })).min(1),
    successful: z.int(),
    total: z.int(),
  }),
  subject: (d) => `${d.severity}: automation health of ${d.firm}`,
  text: (d) =>
    [
      ...d.alerts.map((alert) => `${alert.severity}: ${alert.message}`),
      `\n${d.successful} of ${d.total} rule executions succeeded in the last 24 hours.`,
    ].join('\n'),
  html: (d) => html`${list(d.alerts.map((alert) => `${alert.severity}: ${alert.message}`))}
<p>${d.successful} of ${d.total} rule executions succeeded in the last 24 hours.</p>`,
});

export const litigationTemplates = [hearingReminder, deadlineDigest, ruleNotification, healthAlert];
