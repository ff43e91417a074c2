// People, places and words of the demo firms. Every person is invented; the domains can receive no mail (RFC 2606).

export const FIRMS = [
  { slug: 'sharma-tax-litigation', name: 'Sharma Tax Litigation', whatsapp: true },
  { slug: 'deccan-gst-counsel', name: 'Deccan GST Counsel', whatsapp: false },
  { slug: 'narmada-indirect-tax', name: 'Narmada Indirect Tax', whatsapp: false },
] as const;

export const PEOPLE = [
  { code: 'anita.sharma', name: 'Anita Sharma', role: 'admin', phone: '+919800000101' },
  { code: 'ravi.iyer', name: 'Ravi Iyer', role: 'advocate', phone: '+919800000102' },
  { code: 'meera.joshi', name: 'Meera Joshi', role: 'advocate', phone: '+919800000103' },
  { code: 'kabir.khan', name: 'Kabir Khan', role: 'advocate', phone: '+919800000104' },
  { code: 'divya.rao', name: 'Divya Rao', role: 'staff', phone: '+919800000105' },
  { code: 'samir.patel', name: 'Samir Patel', role: 'staff', phone: '+919800000106' },
] as const;

export const COURTS = [
  { code: 'GSTAT-AHM', name: 'GSTAT Ahmedabad', city: 'Ahmedabad', address: 'Paldi', forum: 'GSTAT' },
  { code: 'GSTAT-MUM', name: 'GSTAT Mumbai', city: 'Mumbai', address: 'Churchgate', forum: 'GSTAT' },
  { code: 'HC-GUJ', name: 'High Court of Gujarat', city: 'Ahmedabad', address: 'Sola', forum: 'High Court' },
  {
    code: 'HC-KAR',
    name: 'High Court of Karnataka',
    city: 'Bengaluru',
    address: 'Ambedkar Veedhi',
    forum: 'High Court',
  },
  { code: 'AA-PUN', name: 'Appellate Authority Pune', city: 'Pune', address: null, forum: 'Appellate Authority' },
] as const;

export const STATUTORY_TITLES = [
  'Submit Reply to ASMT-10 Notice',
  'Reply to show cause notice DRC-01',
  'File appeal APL-01',
  'Pre-deposit for appeal',
  'Reply to REG-17',
  'File cross objections APL-06',
] as const;

export const TASK_TITLES = [
  'Prepare hearing documents',
  'Reconcile GSTR-2B with purchase register',
  'Collect e-way bills',
  'Draft synopsis of arguments',
  'Brief senior counsel',
  'Index paper book',
] as const;

export const RULES = [
  {
    name: 'Escalate late critical work',
    trigger_event: 'task_overdue',
    conditions: { field: 'priority', op: 'in', value: ['critical', 'high'] },
    actions: [
      { type: 'notify', to: ['assignee', 'owner'], subject: 'Overdue: {{title}}', message: '{{title}} ({{case_number}}) is {{days_overdue}} days overdue.' },
      { type: 'create_task', title: 'Follow up: {{title}}', due_in_hours: 8, assign_to: 'owner' },
    ],
  },
  {
    name: 'Late work is high priority',
    trigger_event: 'task_overdue',
    conditions: { all: [{ field: 'priority', op: 'eq', value: 'medium' }, { field: 'days_overdue', op: 'gte', value: 2 }] },
    actions: [{ type: 'set_priority', priority: 'high' }],
  },
  {
    name: 'Tell the owner of SLA violations',
    trigger_event: 'sla_violation',
    conditions: { field: 'priority', op: 'eq', value: 'critical' },
    actions: [{ type: 'notify', to: ['owner'], subject: 'SLA exceeded: {{title}}', message: '{{title}} took {{actual_time}} hours; the threshold is {{sla_threshold}}.' }],
  },
  {
    name: 'Statutory dates within six hours',
    trigger_event: 'deadline_approaching',
    conditions: { all: [{ field: 'statutory', op: 'eq', value: true }, { field: 'hours_until_due', op: 'lte', value: 6 }] },
    actions: [{ type: 'notify', to: ['assignee', 'advocate', 'admins'], subject: 'Statutory date today: {{title}}', message: '{{title}} is due in {{hours_until_due}} hours. This date cannot be moved.' }],
  },
] as const; // biome-ignore format: rules
