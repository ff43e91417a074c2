import type { Client } from 'pg';
import { v5 as uuidV5 } from 'uuid';
import { copyRows } from './copy-rows.ts';
import { addDays, type DemoDay, demoCalendar, localDate } from './gym-calendar.ts';
import { type DemoMember, drawVisits, expectedVisits, planMember } from './gym-members.ts';
import { type DemoGym, demoGyms } from './gym-places.ts';
import { createRandom } from './random.ts';

export interface GymDemoOptions {
  readonly gyms: number;
  /** For each gym. */
  readonly members: number;
  /** Days of history, ending yesterday in the gym's zone. */
  readonly days: number;
  readonly seed: number;
  /** Now, as far as the data is concerned. */
  readonly endDate: Date;
  /** Mean visits a member over all days, reached within a few percent; without it the habits decide (about 32 in 180 days). */
  readonly visitsPerMember?: number;
}

export interface GymDemoCounts {
  gyms: number;
  members: number;
  visits: number;
  coaches: number;
}

/** What one gym's rows are made from. */
interface GymPlan {
  readonly gym: DemoGym;
  readonly tenantId: string;
  readonly options: GymDemoOptions;
  readonly today: string;
  readonly members: readonly DemoMember[];
  readonly calendar: readonly DemoDay[];
  readonly coaches: number;
}

const NAMESPACE = '6f0d3a5e-2b57-5d0c-9a54-6e3f0b8a7c11';
const MEMBERS_PER_COACH = 60;
const ID_KIND = { member: '1', coach: '2', visit: '3' } as const;

export function demoGymTenantId(seed: number, slug: string): string {
  return uuidV5(`${seed}:gym:${slug}`, NAMESPACE);
}

/**
 * Adds the demo gyms that the database doesn't have yet, by slug; the client is a superuser's, in a transaction. Counts are of the
 * rows added: all 0 when every gym was there.
 */
export async function seedGyms(
  client: Client,
  options: GymDemoOptions,
  onProgress: (message: string) => void,
): Promise<GymDemoCounts> {
  const wanted = demoGyms(options.gyms);
  const { rows } = await client.query<{ slug: string }>(
    `SELECT slug FROM ops.tenants WHERE system = 'gym' AND slug = ANY ($1)`,
    [wanted.map((gym) => gym.slug)],
  );
  const present = new Set(rows.map((row) => row.slug));
  const counts: GymDemoCounts = { gyms: 0, members: 0, visits: 0, coaches: 0 };
  for (const gym of wanted) {
    if (present.has(gym.slug)) continue;
    const plan = planGym(gym, options);
    await insertGym(client, plan);
    counts.gyms += 1;
    counts.members += await copyRows(
      client,
      'gym.members',
      'tenant_id, id, number, status, joined_on',
      memberLines(plan),
    );
    counts.coaches += await copyRows(client, 'gym.coaches', 'tenant_id, id, number', coachLines(plan));
    await copyRows(client, 'gym.coach_members', 'tenant_id, coach_id, member_id, assigned_on', assignmentLines(plan));
    counts.visits += await copyRows(
      client,
      'gym.visits',
      'tenant_id, id, member_id, visited_at, attended',
      visitLines(plan),
    );
    onProgress(`${gym.name}: ${plan.members.length} members`);
  }
  return counts;
}

function planGym(gym: DemoGym, options: GymDemoOptions): GymPlan {
  const random = createRandom(`${options.seed}:${gym.slug}:members`);
  const planned = Array.from({ length: options.members }, () => planMember(random));
  const calendar = demoCalendar(options.endDate, options.days, gym.zone);
  const open = calendar.reduce((total, day) => total + day.openness, 0) / calendar.length;
  const expected = open * planned.reduce((total, member) => total + expectedVisits(member, options.days), 0);
  const scale =
    options.visitsPerMember === undefined || expected === 0
      ? 1
      : (options.visitsPerMember * options.members) / expected;
  return {
    gym,
    tenantId: demoGymTenantId(options.seed, gym.slug),
    options,
    today: localDate(options.endDate, gym.zone),
    members: scale === 1 ? planned : planned.map((member) => ({ ...member, weekly: member.weekly * scale })),
    calendar,
    coaches: Math.max(1, Math.ceil(options.members / MEMBERS_PER_COACH)),
  };
}

async function insertGym(client: Client, plan: GymPlan): Promise<void> {
  const { slug, name, zone } = plan.gym;
  await client.query(`INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'gym', $2, $3, $4)`, [
    plan.tenantId,
    slug,
    name,
    zone,
  ]);
  await client.query('INSERT INTO gym.gyms (tenant_id, opened_on) VALUES ($1, $2)', [
    plan.tenantId,
    addDays(plan.today, -1600),
  ]);
}

/** Ids rise with the row's number, so that every index is filled from left to right; version 8 (RFC 9562: free for own schemes). */
function rowId(plan: GymPlan, kind: keyof typeof ID_KIND, row: number): string {
  return `${plan.tenantId.slice(0, 8)}-${ID_KIND[kind]}000-8000-8000-${row.toString(16).padStart(12, '0')}`;
}

function* memberLines(plan: GymPlan): Generator<string> {
  for (const [index, member] of plan.members.entries()) {
    const number = `M${String(index + 1).padStart(6, '0')}`;
    yield `${plan.tenantId}\t${rowId(plan, 'member', index)}\t${number}\t${member.status}\t${addDays(plan.today, -member.joinedDaysAgo)}`;
  }
}

function* coachLines(plan: GymPlan): Generator<string> {
  for (let coach = 0; coach < plan.coaches; coach++) {
    yield `${plan.tenantId}\t${rowId(plan, 'coach', coach)}\tC${String(coach + 1).padStart(4, '0')}`;
  }
}

/** Nine of ten members have a coach, one of twenty has two. */
function* assignmentLines(plan: GymPlan): Generator<string> {
  const random = createRandom(`${plan.options.seed}:${plan.gym.slug}:coaches`);
  for (const [index, member] of plan.members.entries()) {
    const share = random.next();
    const first = random.between(0, plan.coaches - 1);
    if (share > 0.9) continue;
    const assigned = share > 0.85 && plan.coaches > 1 ? [first, (first + 1) % plan.coaches] : [first];
    for (const coach of assigned) {
      const since = addDays(plan.today, -random.between(0, member.joinedDaysAgo));
      yield `${plan.tenantId}\t${rowId(plan, 'coach', coach)}\t${rowId(plan, 'member', index)}\t${since}`;
    }
  }
}

function* visitLines(plan: GymPlan): Generator<string> {
  const random = createRandom(`${plan.options.seed}:${plan.gym.slug}:visits`);
  const clock = Array.from(
    { length: 24 * 60 },
    (_, minute) => `${twoDigits(Math.floor(minute / 60))}:${twoDigits(minute % 60)}:00`,
  );
  let visits = 0;
  for (const [index, member] of plan.members.entries()) {
    const memberId = rowId(plan, 'member', index);
    const lines: string[] = [];
    drawVisits(member, plan.calendar, random, (day, minute, attended) => {
      const at = `${day.date} ${clock[minute]}${day.offset}`;
      lines.push(`${plan.tenantId}\t${rowId(plan, 'visit', visits++)}\t${memberId}\t${at}\t${attended ? 't' : 'f'}`);
    });
    yield* lines;
  }
}

const twoDigits = (value: number) => String(value).padStart(2, '0');
