import { inTransaction } from '@nightshift/db';
import { localDate, render } from '@nightshift/engine';
import { mailServer, runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { organisationsWithDoses } from './due-doses.ts';
import { doseReminder } from './templates.ts';
import { makeOrganisation, minutesAgo, type TestOrganisation } from './testing/organisation.ts';

const JOB = 'medication.medication-reminder';
const HOUR_MS = 3_600_000;
const hoursAgo = (hours: number) => new Date(Date.now() - hours * HOUR_MS);

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs, templates });
});
afterAll(() => engine.close());

const tick = (organisation: TestOrganisation, options = {}) =>
  runJob(engine, { job: JOB, tenant: organisation.slug, input: {}, options });
const ask = (organisation: TestOrganisation, input: object) =>
  runJob(engine, { job: JOB, tenant: organisation.slug, input });
const reminders = (organisation: TestOrganisation) =>
  organisation.sql<{ dose_time: string; state: string; reason: string | null; key: string }>(
    `SELECT dose_time, state, reason, user_medication_id || ' ' || dose_date AS key FROM medication.reminders WHERE tenant_id = $1 ORDER BY due_at, dose_time`,
  );
const messages = async (organisation: TestOrganisation) => {
  const rows = await organisation.sql<{
    id: string;
    to_enc: string;
    data_enc: string;
    not_after: Date;
    dedupe_key: string;
  }>(
    'SELECT id, to_enc, data_enc, not_after, dedupe_key FROM ops.notifications WHERE tenant_id = $1 ORDER BY dedupe_key',
  );
  return Promise.all(
    rows.map(async ({ id, to_enc, data_enc, not_after }) => {
      const open = (place: string, envelope: string) =>
        organisation.crypto.decrypt({ tenantId: organisation.id, place, row: id }, envelope);
      const data = JSON.parse(await open('ops.notifications.data_enc', data_enc));
      return {
        to: await open('ops.notifications.to_enc', to_enc),
        data,
        text: render(doseReminder, data).text,
        notAfter: not_after,
      };
    }),
  );
};

test('a due dose is told once, in a mail that names nothing; the next one is planned; a second tick changes nothing', async () => {
  const zone = 'Asia/Kolkata';
  const org = await makeOrganisation(engine, 'once', zone);
  const taken = await org.take(await org.addUser('u1', { zone }), 'Metformin');
  const time = minutesAgo(2, zone);
  const schedule = await org.schedule(taken, 'daily', [time], hoursAgo(0.5));
  expect(await tick(org)).toMatchObject({
    status: 'completed',
    expected: 1,
    result: { schedulesProcessed: 1, remindersSent: 1, dosesMissed: 0, dosesMuted: 0, errors: [] },
  });
  const [message, ...others] = await messages(org);
  expect(others).toEqual([]);
  expect(message).toMatchObject({ to: 'u1@example.org', data: { time, medicine: null, dose: null } });
  expect(message?.text).not.toMatch(/metformin|medic|dose|pill|diabet/i);
  const [plan] = await org.sql<{ next_due_at: Date }>(
    'SELECT next_due_at FROM medication.dose_schedules WHERE tenant_id = $1 AND id = $2',
    [schedule],
  );
  const ahead = (plan?.next_due_at.getTime() ?? 0) - Date.now();
  expect(ahead).toBeGreaterThan(23 * HOUR_MS);
  expect(ahead).toBeLessThan(24 * HOUR_MS);
  expect(message?.notAfter.getTime()).toBe((plan?.next_due_at.getTime() ?? 0) - 23 * HOUR_MS);
  expect(await tick(org)).toMatchObject({ result: { schedulesProcessed: 0, remindersSent: 0 } });
  // Looked at again from before the dose, as after a restored backup of the schedule alone.
  await org.sql('UPDATE medication.dose_schedules SET next_due_at = $2 WHERE tenant_id = $1', [hoursAgo(0.5)]);
  expect(await tick(org)).toMatchObject({ result: { schedulesProcessed: 1, remindersSent: 0 } });
  expect(await messages(org)).toHaveLength(1);

  const server = await mailServer();
  const sender = await engine.addWorker({ notifications: server.sending });
  const mail = await until('the mail', async () => server.mails[0]);
  await until('it to be sent', async () => {
    const sent = await org.sql(`SELECT FROM ops.notifications WHERE tenant_id = $1 AND state = 'sent'`);
    return sent.length === 1;
  });
  await sender.stop();
  await server.close();
  expect(server.mails).toHaveLength(1);
  expect(mail).toMatchObject({
    envelope: { to: ['u1@example.org'] },
    to: [{ address: 'u1@example.org' }],
    subject: `Your ${time} reminder`,
    messageId: expect.stringMatching(/^<[0-9a-f-]{36}@example\.org>$/),
  });
  for (const body of [mail.text, mail.html]) {
    expect(body).toContain(`This is your ${time} reminder.`);
    expect(body).not.toMatch(/metformin|medic|dose|pill|diabet/i);
  }
});

test('more than an hour late is recorded and not told; who wants none or has no address is not written to; names only if asked for', async () => {
  const org = await makeOrganisation(engine, 'late');
  const time = minutesAgo(5, 'UTC');
  const daily = async (number: string, medication: string, more = {}, times = [time]) =>
    org.schedule(await org.take(await org.addUser(number, more), medication), 'daily', times, hoursAgo(3));
  await daily('late', 'Metformin', {}, [minutesAgo(58, 'UTC'), minutesAgo(62, 'UTC')]);
  await daily('named', 'Warfarin', { names: true });
  await daily('silent', 'Warfarin', { optIn: false });
  await daily('unreachable', 'Warfarin', { email: null });
  expect(await tick(org)).toMatchObject({
    result: { schedulesProcessed: 4, remindersSent: 2, dosesMissed: 1, dosesMuted: 2 },
  });
  expect((await reminders(org)).map(({ state, reason }) => `${state}: ${reason}`).sort()).toEqual([
    'missed: more than an hour late',
    'muted: no email address',
    'muted: the user wants no messages',
    'sent: null',
    'sent: null',
  ]);
  const named = (await messages(org)).find(({ to }) => to === 'named@example.org');
  expect(named?.text).toContain(`This is your ${time} reminder: Warfarin, 1 tablet.`);
});

test('one user with an unknown zone: the others are reminded, the error names the schedule', async () => {
  const org = await makeOrganisation(engine, 'broken');
  const time = minutesAgo(3, 'UTC');
  const ids = [];
  for (const number of ['a', 'b', 'c', 'd', 'e'])
    ids.push(await org.schedule(await org.take(await org.addUser(number), 'Metformin'), 'daily', [time], hoursAgo(1)));
  await org.sql(`UPDATE medication.users SET zone = 'Mars/Olympus' WHERE tenant_id = $1 AND number = 'c'`);
  await org.sql('UPDATE medication.dose_schedules SET next_due_at = $2 WHERE tenant_id = $1', [hoursAgo(1)]);
  expect(await tick(org)).toMatchObject({
    status: 'completed_with_item_errors',
    failedItems: 1,
    result: { remindersSent: 4, errors: [{ item: ids[2], error: expect.stringContaining('UnreadableRowError') }] },
  });
  // Alone with it, a run ends as well: one that waited for a retry would keep the next minutes' doses waiting.
  expect(await tick(org)).toMatchObject({ status: 'completed_with_item_errors', attempts: 1, failedItems: 1 });
});

test('as needed, stopped, inactive, ended and other organisations: nothing is due', async () => {
  const org = await makeOrganisation(engine, 'quiet');
  const other = await makeOrganisation(engine, 'loud');
  const time = minutesAgo(3, 'UTC');
  await org.schedule(await org.take(await org.addUser('as-needed'), 'Ibuprofen'), 'as_needed', [], hoursAgo(1));
  await org.schedule(
    await org.take(await org.addUser('stopped'), 'Metformin', { status: 'stopped' }),
    'daily',
    [time],
    hoursAgo(1),
  );
  const gone = await org.addUser('gone');
  await org.schedule(await org.take(gone, 'Metformin'), 'daily', [time], hoursAgo(1));
  await org.sql('UPDATE medication.users SET active = false WHERE tenant_id = $1 AND id = $2', [gone]);
  await other.schedule(await other.take(await other.addUser('loud'), 'Metformin'), 'daily', [time], hoursAgo(1));
  const both = [org.id, other.id];
  const withDoses = () =>
    inTransaction(engine.producer.pools.app, both, (client) =>
      organisationsWithDoses({ client, now: new Date(), tenantIds: both }),
    );
  expect(await withDoses()).toEqual([other.id]);
  expect(await tick(org)).toMatchObject({ result: { schedulesProcessed: 0 } });
  expect(await tick(other)).toMatchObject({ result: { remindersSent: 1 } });
  expect(await withDoses()).toEqual([]);
  expect(await reminders(org)).toEqual([]);
});

test('a plan that changes in the minute of a dose, before it was told, does not lose the dose; one changed after does not repeat it', async () => {
  const org = await makeOrganisation(engine, 'changing');
  const time = minutesAgo(1, 'UTC');
  const taken = await org.take(await org.addUser('busy'), 'Metformin');
  await org.schedule(taken, 'daily', [time], hoursAgo(0.5));
  const schedule = { frequency: 'daily', times: [time, minutesAgo(90, 'UTC')] };
  const input = { user_id: 'busy', medication_id: 'Metformin', schedule };
  expect(await ask(org, input)).toMatchObject({ status: 'completed' });
  expect(await tick(org)).toMatchObject({ result: { remindersSent: 1, dosesMissed: 0 } });
  await ask(org, { ...input, schedule: { frequency: 'daily', times: [minutesAgo(2, 'UTC'), time] } });
  expect(await tick(org)).toMatchObject({ result: { schedulesProcessed: 1, remindersSent: 0 } });
});

test('a user who moves is not reminded of the same dose again', async () => {
  const org = await makeOrganisation(engine, 'moving');
  const user = await org.addUser('nomad');
  await org.schedule(await org.take(user, 'Metformin'), 'daily', [minutesAgo(3, 'UTC')], hoursAgo(1));
  expect(await tick(org)).toMatchObject({ result: { remindersSent: 1 } });
  await org.sql(`UPDATE medication.users SET zone = 'Atlantic/Azores' WHERE tenant_id = $1`);
  const [plan] = await org.sql<{ again: boolean }>(
    'SELECT next_due_at <= clock_timestamp() AS again FROM medication.dose_schedules WHERE tenant_id = $1',
  );
  expect(plan?.again).toBe(true);
  // As if the Azores had come to that time of the day already.
  await org.sql('UPDATE medication.dose_schedules SET next_due_at = $2 WHERE tenant_id = $1', [hoursAgo(1)]);
  await org.sql(`UPDATE medication.users SET zone = 'UTC' WHERE tenant_id = $1`);
  await tick(org);
  expect(await messages(org)).toHaveLength(1);
});

test('a request sets the schedule, once; its input is stored encrypted', async () => {
  const org = await makeOrganisation(engine, 'asking', 'Europe/Berlin');
  const user = await org.addUser('P-77', { zone: 'Europe/Berlin' });
  const input = {
    user_id: 'P-77',
    medication_id: 'Coumadin',
    schedule: { frequency: 'daily', times: ['20:00', '08:00', '08:00'] },
  };
  const ended = await ask(org, input);
  expect(ended).toMatchObject({
    status: 'completed',
    result: {
      frequency: 'daily',
      times: ['08:00', '20:00'],
      zone: 'Europe/Berlin',
      next_reminders: [expect.any(String), expect.any(String), expect.any(String)],
    },
  });
  const stored = () =>
    org.sql(
      'SELECT frequency, times, starts_on::text, next_due_at FROM medication.dose_schedules WHERE tenant_id = $1',
    );
  const first = await stored();
  expect(first).toMatchObject([
    { frequency: 'daily', times: ['08:00', '20:00'], starts_on: localDate(new Date(), 'Europe/Berlin') },
  ]);
  await ask(org, { ...input, user_id: user, medication_id: 'warfarin' });
  expect(await stored()).toEqual(first);
  await ask(org, { ...input, schedule: { frequency: 'every_n_days:2', times: ['09:00'] } });
  expect(await stored()).toMatchObject([{ frequency: 'every_n_days:2', times: ['09:00'] }]);
  const [payload] = await org.sql<{ input: object }>(
    'SELECT input FROM ops.run_payloads WHERE tenant_id = $1 AND run_id = $2',
    [ended.id],
  );
  expect(JSON.stringify(payload)).not.toMatch(/P-77|Coumadin|08:00/);
});

test('a request for nobody or nothing fails at once and says which; a stopped medication is not begun again', async () => {
  const org = await makeOrganisation(engine, 'nobody');
  await org.take(await org.addUser('known'), 'Warfarin', { status: 'stopped' });
  const schedule = { frequency: 'daily', times: ['08:00'] };
  for (const [user_id, medication_id, message] of [
    ['unknown', 'Warfarin', 'The user that the input names does not exist'],
    ['known', 'Snake oil', 'The medication that the input names does not exist'],
    ['known', 'Warfarin', 'was stopped for this user'],
  ]) {
    expect(await ask(org, { user_id, medication_id, schedule })).toMatchObject({
      status: 'failed',
      attempts: 1,
      errorClass: 'NoSuchEntityError',
      errorMessage: expect.stringContaining(message ?? ''),
    });
  }
  expect(await org.sql('SELECT FROM medication.dose_schedules WHERE tenant_id = $1')).toEqual([]);
});

test('stopped in the middle, cancelled in the middle: what was told is told once, the rest later', async () => {
  const org = await makeOrganisation(engine, 'interrupted');
  const time = minutesAgo(3, 'UTC');
  for (let n = 0; n < 6; n++)
    await org.schedule(await org.take(await org.addUser(`u${n}`), 'Metformin'), 'daily', [time], hoursAgo(1));
  const slow = { batchSize: 1, batchDelayMs: 60_000 };
  const begin = async () => {
    const { id } = await engine.producer.accept({ job: JOB, tenant: org.slug, input: {}, options: slow }, 'test');
    const before = (await messages(org)).length;
    await until('the first batch', async () => (await messages(org)).length > before);
    return id;
  };
  const stopped = await begin();
  await engine.workers[0]?.stop(0);
  await org.sql(`UPDATE ops.open_runs SET options = options || '{"batchDelayMs": 0}' WHERE tenant_id = $1`);
  await engine.addWorker();
  await engine.producer.waitFor([stopped], { timeoutMs: 40_000 });
  expect(await messages(org)).toHaveLength(6);
  await org.sql('DELETE FROM medication.reminders WHERE tenant_id = $1');
  await org.sql('DELETE FROM ops.notifications WHERE tenant_id = $1');
  await org.sql('UPDATE medication.dose_schedules SET next_due_at = $2 WHERE tenant_id = $1', [hoursAgo(1)]);
  const cancelled = await begin();
  await engine.producer.cancel(cancelled, 'test', null);
  expect((await engine.producer.waitFor([cancelled], { timeoutMs: 40_000 })).get(cancelled)).toBe('cancelled');
  expect(await tick(org)).toMatchObject({ status: 'completed' });
  expect(await messages(org)).toHaveLength(6);
  expect(await reminders(org)).toHaveLength(6);
});
