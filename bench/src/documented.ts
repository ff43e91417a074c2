/** What the systems' own documents say of a job: how long it takes, and over how much. */
const DOCUMENTED: Readonly<Record<string, string>> = {
  'clinic.refresh-summaries': 'no figure',
  'clinic.generate-tasks': 'no figure',
  'clinic.refresh-dashboard': 'no figure',
  'litigation.check-sla-and-overdue': '2 to 5 s, 15 s at most, for 50 to 200 tasks',
  'zakat.cleanup-cache': '0.1 to 0.5 s',
  'zakat.generate-reminders': '0.5 to 2 s',
  'zakat.regenerate-summaries': '1 to 3 s, 100 summaries a run at most',
  'medication.interaction-check': 'an alert beyond 1,000 ms',
};

/** For the line beside a measurement. Errors: a job that is not listed. */
export function documented(job: string): string {
  const said = DOCUMENTED[job];
  if (said === undefined) throw new RangeError(`no entry for '${job}': say what its document tells of its time`);
  return `its document: ${said}`;
}
