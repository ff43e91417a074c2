import type { Client } from 'pg';
import { v5 as uuidV5 } from 'uuid';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '../crypto/index.ts';
import { COURTS, FIRMS, PEOPLE, RULES, STATUTORY_TITLES, TASK_TITLES } from './litigation-texts.ts';
import { createRandom, type Random } from './random.ts';

export interface LitigationDemoOptions {
  /** 1 to 3. */
  readonly firms: number;
  /** For each firm. */
  readonly cases: number;
  readonly tasks: number;
  readonly hearings: number;
  readonly seed: number;
  /** Now, as far as the data is concerned. */
  readonly endDate: Date;
  readonly encryptionKeys: string;
}

export interface LitigationDemoCounts {
  firms: number;
  cases: number;
  tasks: number;
  hearings: number;
}

const NAMESPACE = '3c1e8f40-93ae-5d65-8a5b-0c7f6a1b2d90';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export function demoFirmTenantId(seed: number, slug: string): string {
  return uuidV5(`${seed}:litigation:${slug}`, NAMESPACE);
}

/** What one firm's rows are made from. */
interface Firm {
  readonly client: Client;
  readonly crypto: FieldCrypto;
  readonly options: LitigationDemoOptions;
  readonly tenantId: string;
  readonly slug: string;
  readonly random: Random;
  at(ms: number): string;
  id(kind: string, n: number): string;
}

/**
 * Adds the demo firms that the database doesn't have yet, by slug; the client is a superuser's, in a transaction. Counts are of the rows
 * added.
 */
export async function seedFirms(
  client: Client,
  options: LitigationDemoOptions,
  onProgress: (message: string) => void,
): Promise<LitigationDemoCounts> {
  const counts: LitigationDemoCounts = { firms: 0, cases: 0, tasks: 0, hearings: 0 };
  const crypto = createFieldCrypto({ keyring: parseKeyring(options.encryptionKeys), pool: client });
  for (const { slug, name, whatsapp } of FIRMS.slice(0, options.firms)) {
    const tenantId = demoFirmTenantId(options.seed, slug);
    const made = await client.query(
      `INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'litigation', $2, $3, 'Asia/Kolkata') ON CONFLICT (system, slug) DO NOTHING`,
      [tenantId, slug, name],
    );
    if (made.rowCount === 0) continue;
    const firm: Firm = {
      client, crypto, options, tenantId, slug,
      random: createRandom(`${options.seed}:${slug}:litigation`),
      at: (ms) => new Date(options.endDate.getTime() + ms).toISOString(),
      id: (kind, n) => uuidV5(`${kind}:${n}`, tenantId),
    }; // biome-ignore format: a firm
    await insertOffice(firm, whatsapp);
    await insertCases(firm);
    await insertTasks(firm);
    await insertHearings(firm);
    await insertHistory(firm);
    counts.firms += 1;
    counts.cases += options.cases;
    counts.tasks += options.tasks;
    counts.hearings += options.hearings;
    onProgress(`${name}: ${options.cases} cases, ${options.tasks} tasks`);
  }
  return counts;
}

/** Rows of one table from one JSON array; its keys are the columns. */
async function insert({ client, tenantId }: Firm, table: string, rows: readonly object[]): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = ['tenant_id', ...Object.keys(first)].join(', ');
  await client.query(
    `INSERT INTO litigation.${table} (${columns}) SELECT ${columns} FROM jsonb_populate_recordset(NULL::litigation.${table}, $1)`,
    [JSON.stringify(rows.map((row) => ({ tenant_id: tenantId, ...row })))],
  );
}

async function insertOffice(firm: Firm, whatsapp: boolean): Promise<void> {
  const checklists = {
    GSTAT: ['Vakalatnama', 'Paper book, indexed', 'Pre-deposit challan'],
    'High Court': ['Writ petition, paginated', 'Impugned order, certified copy'],
  };
  await insert(firm, 'firms', [
    { whatsapp_enabled: whatsapp, preparation_checklists: checklists, created_at: firm.at(-900 * DAY_MS) },
  ]);
  const sealed = await firm.crypto.encryptAll(
    PEOPLE.flatMap(({ code, name, phone }, n) => {
      const ref = (column: string) => ({
        tenantId: firm.tenantId,
        place: `litigation.users.${column}`,
        row: firm.id('user', n),
      });
      return [
        { ref: ref('name_enc'), plain: name },
        { ref: ref('email_enc'), plain: `${code}@${firm.slug}.example` },
        { ref: ref('phone_enc'), plain: phone },
      ];
    }),
  );
  await insert(
    firm,
    'users',
    PEOPLE.map(({ code, role }, n) => ({
      id: firm.id('user', n), code, role, active: true, name_enc: sealed[3 * n], email_enc: sealed[3 * n + 1], phone_enc: sealed[3 * n + 2], created_at: firm.at(-800 * DAY_MS),
    })), // biome-ignore format: a row
  );
  await insert(
    firm,
    'courts',
    COURTS.map((court, n) => ({ id: firm.id('court', n), ...court })),
  );
  await insert(
    firm,
    'automation_rules',
    RULES.map((rule, n) => ({
      id: firm.id('rule', n),
      enabled: true,
      ...rule,
      created_at: firm.at(-(90 - n) * DAY_MS),
    })),
  );
}

const someone = ({ random, id }: Firm) => id('user', random.between(0, PEOPLE.length - 1));

async function insertCases(firm: Firm): Promise<void> {
  const { random, options } = firm;
  const rows = Array.from({ length: options.cases }, (_, n) => ({
    id: firm.id('case', n),
    case_number: `GST-${2023 + (n % 4)}-${String(n + 1).padStart(4, '0')}`,
    title: `${random.weighted([['GST Appeal', 4], ['Refund claim', 2], ['Classification dispute', 2], ['Input tax credit, section 16(4)', 3]] as const)} #${n + 1}`,
    status: random.weighted([['Open', 5], ['In Progress', 3], ['On Hold', 1], ['Closed', 2]] as const),
    owner_id: someone(firm),
    assigned_to: random.chance(0.85) ? someone(firm) : null,
    created_at: firm.at(-random.between(30, 700) * DAY_MS),
  })); // biome-ignore format: a row
  await insert(firm, 'cases', rows);
  const documents = Array.from({ length: 2 * options.cases }, (_, n) => ({
    id: firm.id('document', n), case_id: firm.id('case', n % options.cases), title: `Annexure ${1 + Math.floor(n / options.cases)}`, uploaded_at: firm.at(-random.between(1, 300) * DAY_MS),
  })); // biome-ignore format: a row
  await insert(firm, 'documents', documents);
}

async function insertTasks(firm: Firm): Promise<void> {
  const { random, options } = firm;
  const rows = Array.from({ length: options.tasks }, (_, n) => {
    const statutory = random.chance(0.15);
    const status = random.weighted([['Completed', 60], ['Cancelled', 5], ['Pending', 20], ['In Progress', 15]] as const);
    const closed = status === 'Completed' || status === 'Cancelled';
    const ageMs = random.between(1, closed ? 90 : 4) * DAY_MS;
    const workedMs = random.between(1, 5 * 24) * HOUR_MS;
    // Most open tasks lie ahead, one of twelve is late, and some are due today.
    const dueMs = closed ? workedMs - ageMs : random.weighted([[-random.between(1, 80) * HOUR_MS, 1], [random.between(1, 23) * HOUR_MS, 2], [random.between(2, 40) * DAY_MS, 9]] as const);
    return {
      id: firm.id('task', n),
      case_id: firm.id('case', random.between(0, options.cases - 1)),
      title: (statutory ? STATUTORY_TITLES : TASK_TITLES)[n % 6],
      status,
      priority: random.weighted([['critical', 1], ['high', 3], ['medium', 10], ['low', 4]] as const),
      due_date: firm.at(dueMs),
      statutory,
      assigned_to: random.chance(0.9) ? someone(firm) : null,
      created_at: firm.at(-ageMs),
      closed_at: closed ? firm.at(Math.min(workedMs - ageMs, -HOUR_MS / 2)) : null,
      arming: 0,
      automation_depth: 0,
    };
  }); // biome-ignore format: a row
  await insert(firm, 'tasks', rows);
}

async function insertHearings(firm: Firm): Promise<void> {
  const { random, options } = firm;
  const rows = Array.from({ length: options.hearings }, (_, n) => {
    // A tenth of them today and tomorrow, half of them past.
    const ms =
      n % 10 === 0 ? random.between(1, 30) * HOUR_MS : (n % 2 === 0 ? 1 : -1) * random.between(2, 120) * DAY_MS;
    const status =
      ms > 0
        ? 'Scheduled'
        : random.weighted([
            ['Completed', 8],
            ['Adjourned', 3],
            ['Cancelled', 1],
          ] as const);
    return {
      id: firm.id('hearing', n),
      case_id: firm.id('case', random.between(0, options.cases - 1)),
      court_id: firm.id('court', random.between(0, COURTS.length - 1)),
      hearing_date: firm.at(ms),
      status,
      attended: status === 'Completed' ? random.chance(0.95) : null,
      created_at: firm.at(-130 * DAY_MS),
    };
  });
  await insert(firm, 'hearings', rows);
}

/** Ten days of snapshots, and of what the rules did. */
async function insertHistory(firm: Firm): Promise<void> {
  const { random, options } = firm;
  const days = Array.from({ length: 10 }, (_, n) => n + 1);
  await insert(
    firm,
    'analytics_snapshots',
    days.map((ago) => ({
      id: firm.id('snapshot', ago),
      metric_type: 'daily_snapshot',
      snapshot_date: firm.at(-ago * DAY_MS).slice(0, 10),
      metric_value: {
        case_count: Math.round(options.cases * 0.8) + random.between(-2, 2),
        task_completion_rate: 0.6, sla_compliance_rate: 0.7, hearing_attendance_rate: 0.95, document_count: 2 * options.cases - ago,
        overdue_tasks: random.between(8, 14), anomaly_detected: false,
      },
      created_at: firm.at(-ago * DAY_MS),
    })), // biome-ignore format: a row
  );
  const logs = days.flatMap((day) => RULES.slice(0, 2).map((rule, n) => ({ day, n, rule })));
  await insert(
    firm,
    'automation_logs',
    logs.map(({ day, n, rule }, i) => ({
      id: firm.id('log', i), rule_id: firm.id('rule', n), rule_name: rule.name, trigger_event: rule.trigger_event, status: i % 9 === 8 ? 'failed' : 'success',
      actions_executed: [], error_message: i % 9 === 8 ? 'RuleActionError: set_priority: a hearing has no priority' : null, executed_at: firm.at(-day * DAY_MS + HOUR_MS),
    })), // biome-ignore format: a row
  );
}
