import { waitWithFollowUps } from '@nightshift/engine/accept';
import { mailServer, type ReceivedMail, runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { appUrl } from './app-url.ts';
import { checkUpcomingDeadlines } from './check-upcoming-deadlines.job.ts';
import { sendHearingReminders } from './send-hearing-reminders.job.ts';
import { type TestFirm, testFirm } from './testing/test-firm.ts';

/** 9:00 in Kolkata. */
const NOW = '2026-11-22T03:30:00Z';
const hours = (n: number) => new Date(Date.parse(NOW) + n * 3_600_000);

let engine: TestEngine;
let firm: TestFirm;
let owner: string;
let advocate: string;
let caseId: string;
let court: string;
let made = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs, templates });
});
afterAll(() => engine.close());
beforeEach(async () => {
  firm = await testFirm(engine, `firm-${made++}`);
  owner = await firm.user('owner', { phone: '+919800000001' });
  advocate = await firm.user('advocate');
  caseId = await firm.insert('cases', {
    case_number: '2024-0123',
    title: 'GST Appeal',
    owner_id: owner,
    assigned_to: advocate,
  });
  court = await firm.insert('courts', {
    code: 'A',
    name: 'GSTAT',
    city: 'Ahmedabad',
    address: 'Law Garden',
    forum: 'Tribunal',
  });
});

const hearing = (at: Date | string, more: object = {}) =>
  firm.insert('hearings', { case_id: caseId, court_id: court, hearing_date: at, ...more });
const task = (more: object) => firm.insert('tasks', { title: 'Reply', case_id: caseId, created_at: NOW, ...more });
const set = (table: string, id: string, change: string) =>
  firm.rows(`UPDATE litigation.${table} SET ${change} WHERE id = $1`, [id]);

describe('hearing reminders', () => {
  const pass = (now: string | Date = NOW) => firm.pass(sendHearingReminders, now);

  test('owner and advocate of a hearing today or tomorrow get one mail each, with what they need', async () => {
    await firm.rows(
      `UPDATE litigation.firms SET preparation_checklists = '{"Tribunal": ["Vakalatnama", "Paper book"]}' WHERE tenant_id = $1`,
    );
    const id = await hearing('2026-11-23T05:00:00Z');
    const done = await pass();
    expect(done).toMatchObject({
      expected: 1,
      processed: 1,
      changed: 2,
      tally: { emails: 2, whatsapps: 0 },
      followUps: [],
    });
    expect(done.messages.map(({ to }) => to).sort()).toEqual(['advocate@example.in', 'owner@example.in']);
    expect(done.messages[0]).toMatchObject({
      template: 'litigation.hearing-reminder',
      notAfter: new Date('2026-11-23T05:00:00Z'),
      data: {
        caseNumber: '2024-0123', court: 'GSTAT', city: 'Ahmedabad', address: 'Law Garden', date: 'Mon, 23 Nov 2026', time: '10:30 AM',
        checklist: ['Vakalatnama', 'Paper book'], rescheduled: false, url: expect.stringContaining(`/hearings/${id}`),
      },
    }); // biome-ignore format: a mail
    expect(await pass(hours(1))).toMatchObject({ expected: 0, messages: [] });
  });

  test('today and tomorrow are the firm’s, from now until its midnight after tomorrow', async () => {
    await hearing(NOW);
    await hearing(hours(-1));
    const soon = await hearing('2026-11-22T03:30:00.001Z');
    const last = await hearing('2026-11-23T18:29:59Z');
    await hearing('2026-11-23T18:30:00Z');
    await hearing(hours(3), { status: 'Adjourned' });
    await hearing(hours(3), { status: 'Cancelled' });
    const keys = (await pass()).messages.map(({ dedupeKey }) => dedupeKey.split(':')[1]);
    expect(new Set(keys)).toEqual(new Set([soon, last]));
  });

  test('on days of 23 and 25 hours tomorrow ends at midnight too', async () => {
    const berlin = await testFirm(engine, `berlin-${made++}`, 'Europe/Berlin');
    const person = await berlin.user('one');
    const theirs = await berlin.insert('cases', { case_number: '1', title: 'x', owner_id: person });
    const room = await berlin.insert('courts', { code: 'B', name: 'FG', city: 'Berlin', forum: 'x' });
    const add = (at: string) => berlin.insert('hearings', { case_id: theirs, court_id: room, hearing_date: at });
    await add('2026-03-29T21:59:00Z');
    await add('2026-03-29T22:00:00Z');
    expect((await berlin.pass(sendHearingReminders, '2026-03-28T07:00:00Z')).messages).toHaveLength(1);
    await add('2026-10-25T22:59:00Z');
    await add('2026-10-25T23:00:00Z');
    expect((await berlin.pass(sendHearingReminders, '2026-10-24T07:00:00Z')).messages).toHaveLength(1);
  });

  test('a changed time or court is told anew, marked; back to what it was is a change as well', async () => {
    const id = await hearing(hours(24));
    const other = await firm.insert('courts', { code: 'B', name: 'High Court', city: 'Mumbai', forum: 'x' });
    await pass();
    const after = async (change: string) => {
      await set('hearings', id, change);
      return (await pass()).messages.map(({ data }) => [data.rescheduled, data.court, data.time]);
    };
    expect(await after(`status = 'Scheduled'`)).toEqual([]);
    expect(await after(`hearing_date = '${hours(26).toISOString()}'`)).toEqual(
      Array(2).fill([true, 'GSTAT', '11:00 AM']),
    );
    expect(await after(`court_id = '${other}'`)).toEqual(Array(2).fill([true, 'High Court', '11:00 AM']));
    expect(await after(`court_id = '${court}'`)).toEqual(Array(2).fill([true, 'GSTAT', '11:00 AM']));
    const keys = await firm.rows(`SELECT DISTINCT revision FROM litigation.hearing_reminders WHERE tenant_id = $1`);
    expect(keys).toEqual([{ revision: 4 }]);
  });

  test('WhatsApp where the firm has it and the person a number; preferences and leavers respected; one mail though owner is advocate', async () => {
    await firm.rows(`UPDATE litigation.firms SET whatsapp_enabled = true WHERE tenant_id = $1`);
    await hearing(hours(5));
    const both = await firm.insert('cases', { case_number: '2', title: 'y', owner_id: owner, assigned_to: owner });
    await firm.insert('hearings', { case_id: both, court_id: court, hearing_date: hours(6) });
    await firm.insert('notification_preferences', { user_id: advocate, hearing_email: false });
    expect((await pass()).messages.map(({ channel, to }) => [channel, to])).toEqual([
      ['email', 'owner@example.in'],
      ['email', 'owner@example.in'],
      ['whatsapp', '+919800000001'],
      ['whatsapp', '+919800000001'],
    ]);
    await firm.rows('UPDATE litigation.users SET active = false WHERE tenant_id = $1');
    await hearing(hours(7));
    expect((await pass()).messages).toEqual([]);
  });

  test('250 hearings with owner and advocate: 500 mails arrive from runs of at most 100, each once', async () => {
    await firm.rows(
      `UPDATE litigation.firms SET preparation_checklists = '{"Tribunal": ["Vakalatnama & <seal>"]}' WHERE tenant_id = $1`,
    );
    const ids250 = await firm.rows<{ id: string }>(
      `INSERT INTO litigation.hearings (tenant_id, case_id, court_id, hearing_date) SELECT $1, $2, $3, now() + interval '2 hours' + n * interval '10 seconds' FROM generate_series(1, 250) n RETURNING id`,
      [firm.id, caseId, court],
    );
    const server = await mailServer();
    const sender = await engine.addWorker({ notifications: server.sending });
    const start = async () => {
      const started = await engine.producer.start(
        { kind: 'manual', job: 'litigation.send-hearing-reminders', tenants: [firm.slug] },
        'test',
      );
      return waitWithFollowUps(
        engine.producer,
        started.runs.map((run) => run.runId),
        { timeoutMs: 40_000 },
      );
    };
    const { ids, ended } = await start();
    expect([...ended.values()].every((status) => status === 'completed')).toBe(true);
    const perRun = await firm.rows<{ n: number }>(
      `SELECT count(*)::int AS n FROM ops.notifications WHERE tenant_id = $1 GROUP BY run_id`,
    );
    expect(ids.length).toBeGreaterThanOrEqual(5);
    expect(perRun.length).toBe(5);
    expect(perRun.every(({ n }) => n <= 100)).toBe(true);
    expect(perRun.reduce((sum, { n }) => sum + n, 0)).toBe(500);
    expect(await firm.rows(`SELECT FROM ops.alerts WHERE tenant_id = $1`)).toEqual([]);

    const links = new Set(ids250.map((hearing) => appUrl(`/hearings/${hearing.id}`)));
    const linkOf = (mail: ReceivedMail) => /https?:\S+\/hearings\/\S+/.exec(mail.text ?? '')?.[0] ?? '';
    const ours = () => server.mails.filter((mail) => links.has(linkOf(mail)));
    const sent = () =>
      firm.rows<{ state: string; n: number }>(
        `SELECT state, count(*)::int AS n FROM ops.notifications WHERE tenant_id = $1 GROUP BY state`,
      );
    await until('every mail to be sent', async () => (await sent()).every(({ state }) => state === 'sent'));
    await start();
    expect(await sent()).toEqual([{ state: 'sent', n: 500 }]);
    await sender.stop();
    await server.close();
    const mails = ours();
    expect(mails).toHaveLength(500);
    expect(new Set(mails.map((mail) => `${mail.envelope.to} ${linkOf(mail)}`)).size).toBe(500);
    expect(new Set(mails.map((mail) => mail.messageId)).size).toBe(500);
    expect(new Set(mails.flatMap((mail) => mail.envelope.to))).toEqual(
      new Set(['owner@example.in', 'advocate@example.in']),
    );
    for (const mail of mails) {
      expect(mail.to).toMatchObject([{ address: mail.envelope.to[0] }]);
      expect(mail.subject).toBe('Hearing Reminder: 2024-0123 - GSTAT');
      expect(mail.html).toContain(`<a href="${linkOf(mail)}">Open the hearing</a>`);
    }
    const [mail] = mails;
    expect(mail?.from).toMatchObject({ name: 'Nightshift', address: 'jobs@example.org' });
    expect(mail?.text).toContain('Court: GSTAT, Ahmedabad');
    expect(mail?.text).toContain('Preparation checklist:\n- Vakalatnama & <seal>');
    expect(mail?.html).toContain('<li>Vakalatnama &amp; &lt;seal&gt;</li>');
  });

  test('one recipient who cannot be read is an item error; the other hearings are told, also in follow-up runs', async () => {
    const sealed = await firm.user('sealed');
    await firm.rows(`UPDATE litigation.users SET email_enc = 'ns1.a.b.c' WHERE id = $1`, [sealed]);
    const theirs = await firm.insert('cases', { case_number: '3', title: 'z', owner_id: sealed });
    const bad = await firm.insert('hearings', {
      case_id: theirs,
      court_id: court,
      hearing_date: new Date(Date.now() + 3_600_000),
    });
    await hearing(new Date(Date.now() + 7_200_000));
    const ended = await runJob(engine, { job: 'litigation.send-hearing-reminders', tenant: firm.slug, input: {} });
    expect(ended).toMatchObject({
      status: 'completed_with_item_errors',
      processed: 2,
      failedItems: 1,
      result: {
        hearingsProcessed: 2,
        emailsCreated: 2,
        errors: [{ item: expect.stringContaining(bad), error: expect.stringContaining('DecryptionError') }],
      },
    });
    expect(JSON.stringify(ended)).not.toContain('example.in');
  });
});

describe('upcoming deadlines', () => {
  const pass = (now: string | Date = NOW) => firm.pass(checkUpcomingDeadlines, now);

  test('one message a user and day, hearings and urgent tasks first; none for what is done', async () => {
    const late = await task({
      title: 'Submit Reply to ASMT-10 Notice',
      due_date: '2026-11-22T11:30:00Z',
      priority: 'critical',
      statutory: true,
      assigned_to: advocate,
    });
    await task({ title: 'Prepare documents', due_date: '2026-11-22T08:30:00Z', priority: 'medium' });
    await task({ title: 'Done', due_date: hours(1), status: 'Completed' });
    const heard = await hearing('2026-11-23T03:00:00Z');
    const done = await pass();
    expect(done.tally).toMatchObject({ tasks: 2, hearings: 1, digests: 2 });
    const byUser = new Map(done.messages.map(({ userKey, data }) => [userKey, data]));
    const line = (kind: string, title: string, when: string) => expect.objectContaining({ kind, title, when });
    expect(byUser.get(advocate)).toMatchObject({
      high: [
        line('Task', 'Submit Reply to ASMT-10 Notice', 'Today 5:00 PM'),
        line('Hearing', '2024-0123 GST Appeal', 'Tomorrow 8:30 AM'),
      ],
      normal: [],
    });
    expect(byUser.get(owner)).toMatchObject({
      high: [line('Hearing', '2024-0123 GST Appeal', 'Tomorrow 8:30 AM')],
      normal: [line('Task', 'Prepare documents', 'Today 2:00 PM')],
    });
    expect(JSON.stringify(byUser.get(advocate))).toContain(`/tasks/${late}/complete`);
    expect(JSON.stringify(byUser.get(advocate))).not.toContain(`/tasks/${late}/reschedule`);
    expect(JSON.stringify(byUser.get(advocate))).toContain(`/hearings/${heard}/reschedule`);
    expect(await pass(hours(0.5))).toMatchObject({ messages: [], tally: {} });
  });

  test('exactly 24 h ahead is due, one more millisecond is not; on another local day there is another message', async () => {
    await task({ due_date: hours(24) });
    await task({ due_date: new Date(hours(24).getTime() + 1) });
    expect((await pass()).tally).toMatchObject({ tasks: 1, digests: 1 });
    expect((await pass('2026-11-22T18:29:00Z')).messages).toEqual([]);
    expect((await pass('2026-11-22T18:31:00Z')).messages).toHaveLength(1);
  });

  test('24 h are 24 h, also over the night that lacks or repeats an hour, a leap day and a month’s end', async () => {
    for (const [i, now] of [
      '2026-03-28T07:00:00Z',
      '2026-10-24T07:00:00Z',
      '2028-02-28T22:30:00Z',
      '2026-12-31T07:00:00Z',
    ].entries()) {
      const berlin = await testFirm(engine, `berlin-${made++}`, 'Europe/Berlin');
      const person = await berlin.user(`one-${i}`);
      for (const ms of [0, 1]) {
        const due = new Date(Date.parse(now) + 24 * 3_600_000 + ms);
        await berlin.insert('tasks', { title: `due ${ms}`, due_date: due, created_at: now, assigned_to: person });
      }
      const { messages } = await berlin.pass(checkUpcomingDeadlines, now);
      expect(
        messages.map(({ data }) => data.normal),
        now,
      ).toMatchObject([[{ title: 'due 0', when: expect.stringMatching(/^Tomorrow/) }]]);
    }
  });

  test('one user who cannot be read is an item error; the other is told; once mended, a second run tells nobody anything more', async () => {
    const sealed = await firm.user('sealed');
    await firm.rows(`UPDATE litigation.users SET email_enc = 'ns1.a.b.c' WHERE id = $1`, [sealed]);
    for (const assigned_to of [sealed, owner]) await task({ due_date: new Date(Date.now() + 3_600_000), assigned_to });
    const run = () => runJob(engine, { job: 'litigation.check-upcoming-deadlines', tenant: firm.slug, input: {} });
    expect(await run()).toMatchObject({
      status: 'completed_with_item_errors',
      failedItems: 1,
      result: {
        tasksDue: 2,
        usersNotified: 1,
        errors: [{ item: expect.stringContaining(sealed), error: expect.stringContaining('DecryptionError') }],
      },
    });
    await firm.rows('UPDATE litigation.users SET email_enc = NULL WHERE id = $1', [sealed]);
    expect(await run()).toMatchObject({ status: 'completed', result: { tasksDue: 0, usersNotified: 0 } });
    expect(await firm.rows(`SELECT user_key FROM ops.notifications WHERE tenant_id = $1`)).toEqual([
      { user_key: owner },
    ]);
  });

  test('deadline_approaching is once for each entity and time, and its rules run', async () => {
    await firm.insert('automation_rules', {
      name: 'Warn', trigger_event: 'deadline_approaching', conditions: '{"field": "hours_until_due", "op": "lt", "value": 3}',
      actions: JSON.stringify([{ type: 'notify', to: ['advocate'], message: '{{title}} in {{hours_until_due}} h' }]),
    }); // biome-ignore format: a rule
    const id = await task({ due_date: hours(2.5) });
    await task({ due_date: hours(20) });
    const done = await pass();
    expect(done.tally).toMatchObject({ tasks: 2, rulesTriggered: 1, messages: 1 });
    expect(done.messages.map(({ data }) => data.text)).toContain('Reply in 2.5 h');
    await set('tasks', id, `due_date = '${hours(2).toISOString()}'`);
    expect((await pass()).tally).toMatchObject({ tasks: 1, rulesTriggered: 1 });
    expect(await firm.rows(`SELECT DISTINCT type FROM litigation.events WHERE tenant_id = $1`)).toEqual([
      { type: 'deadline_approaching' },
    ]);
  });

  test('130 users are written to in runs of at most 100, each once', async () => {
    for (let i = 0; i < 130; i++) {
      const user = await firm.user(`u${i}`);
      await task({ due_date: new Date(Date.now() + 3_600_000), assigned_to: user });
    }
    const started = await engine.producer.start(
      { kind: 'manual', job: 'litigation.check-upcoming-deadlines', tenants: [firm.slug] },
      'test',
    );
    const { ended } = await waitWithFollowUps(
      engine.producer,
      started.runs.map((run) => run.runId),
      { timeoutMs: 40_000 },
    );
    expect([...ended.values()]).toEqual(['completed', 'completed']);
    const perRun = await firm.rows<{ n: number }>(
      `SELECT count(*)::int AS n FROM ops.notifications WHERE tenant_id = $1 GROUP BY run_id ORDER BY 1`,
    );
    expect(perRun).toEqual([{ n: 30 }, { n: 100 }]);
  });
});

test('stopped in the middle, cancelled in the middle: each message once, the rest by the next run', async () => {
  for (let i = 0; i < 4; i++) {
    await hearing(new Date(Date.now() + 3_600_000 + i));
    await task({ due_date: new Date(Date.now() + 3_600_000), assigned_to: await firm.user(`u${i}`) });
  }
  const NAMES = ['litigation.send-hearing-reminders', 'litigation.check-upcoming-deadlines'];
  const messages = async (job?: string) =>
    (await firm.rows('SELECT FROM ops.notifications WHERE tenant_id = $1 AND job = coalesce($2, job)', [firm.id, job]))
      .length;
  const begin = async () => {
    const ids = await Promise.all(
      NAMES.map(async (job) => {
        const options = { batchSize: 1, batchDelayMs: 60_000 };
        return (await engine.producer.accept({ job, tenant: firm.slug, input: {}, options }, 'test')).id;
      }),
    );
    await until('a first batch of both', async () => {
      const rows = await firm.rows(`SELECT FROM ops.open_runs WHERE id = ANY ($1) AND processed > 0`, [ids]);
      return rows.length === ids.length;
    });
    return ids;
  };
  const endings = async (ids: string[]) => [...(await engine.producer.waitFor(ids, { timeoutMs: 40_000 })).values()];
  const cancelled = await begin();
  for (const id of cancelled) await engine.producer.cancel(id, 'test', null);
  expect(await endings(cancelled)).toEqual(['cancelled', 'cancelled']);
  expect(await messages(NAMES[0])).toBe(2);
  const stopped = await begin();
  expect(await messages(NAMES[0])).toBe(4);
  await Promise.all(engine.workers.map((worker) => worker.stop(0)));
  await firm.rows(`UPDATE ops.open_runs SET options = options || '{"batchDelayMs": 0}' WHERE tenant_id = $1`);
  await engine.addWorker();
  expect(await endings(stopped)).toEqual(['completed', 'completed']);
  expect([await messages(NAMES[0]), await messages(NAMES[1])]).toEqual([8, 6]);
});
