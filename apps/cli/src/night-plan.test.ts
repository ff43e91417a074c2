import { createCatalogue, defineJob, type ScheduleDeclaration, type TenantRef } from '@nightshift/engine';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type NightSchedule, planNight } from './night-plan.ts';

function job(name: string, schedule?: ScheduleDeclaration) {
  return defineJob({
    kind: 'task',
    name,
    title: name,
    description: name,
    scope: 'tenant',
    priority: 'MEDIUM',
    ...(schedule === undefined ? {} : { schedule }),
    typicalMs: 1,
    maxMs: 1,
    input: z.strictObject({}),
    run: async () => ({}),
  });
}

function schedule(name: string, cron: string, rest: Partial<NightSchedule> = {}): NightSchedule {
  return {
    id: `${name} ${cron}`,
    job: name,
    cron,
    zone: 'UTC',
    tenantZone: null,
    selector: { all: true },
    enabled: true,
    pausedBy: null,
    ...rest,
  };
}

const tenant = (slug: string, zone = 'UTC'): TenantRef => ({ id: `id-${slug}`, slug, name: slug, zone });
const names = (steps: readonly { job: { name: string } }[]) => steps.map((step) => step.job.name);

test('jobs stand in the order of their first time of the day', () => {
  const catalogue = createCatalogue([job('a.late'), job('a.early'), job('a.often')]);
  const steps = planNight(catalogue, [
    schedule('a.late', '0 4 * * *'),
    schedule('a.often', '*/15 * * * *'),
    schedule('a.early', '30 1 * * *'),
  ]);
  expect(names(steps)).toEqual(['a.often', 'a.early', 'a.late']);
});

test('a job never stands before the one it runs after, whatever their times', () => {
  const catalogue = createCatalogue([
    job('a.third', { cron: '0 1 * * *', zone: 'UTC', after: 'a.second' }),
    job('a.second', { cron: '0 2 * * *', zone: 'UTC', after: 'a.first' }),
    job('a.first', { cron: '0 3 * * *', zone: 'UTC' }),
  ]);
  const steps = planNight(catalogue, [
    schedule('a.third', '0 1 * * *'),
    schedule('a.second', '0 2 * * *'),
    schedule('a.first', '0 3 * * *'),
  ]);
  expect(names(steps)).toEqual(['a.first', 'a.second', 'a.third']);
});

test('jobs without a schedule and schedules of unknown jobs are left out', () => {
  const steps = planNight(createCatalogue([job('a.ad-hoc'), job('a.daily')]), [
    schedule('a.daily', '0 1 * * *'),
    schedule('gone.job', '0 1 * * *'),
  ]);
  expect(names(steps)).toEqual(['a.daily']);
});

test('a paused or disabled schedule is skipped, with its reason', () => {
  const catalogue = createCatalogue([job('a.one'), job('a.two')]);
  const [one, two] = planNight(catalogue, [
    schedule('a.one', '0 1 * * *', { pausedBy: 'mira' }),
    schedule('a.two', '0 2 * * *', { enabled: false }),
  ]);
  expect(one?.skipped).toBe('its schedule is paused by mira');
  expect(two?.skipped).toBe('its schedule is disabled');
});

test('one paused schedule of several leaves the tenants of the others', () => {
  const [step] = planNight(createCatalogue([job('a.one')]), [
    schedule('a.one', '0 1 * * *', { selector: { except: ['id-north'] }, pausedBy: 'mira' }),
    schedule('a.one', '0 5 * * *', { selector: { only: ['id-north'] } }),
  ]);
  expect(step?.skipped).toBeNull();
  expect([tenant('north'), tenant('south')].filter((each) => step?.serves(each)).map((each) => each.slug)).toEqual([
    'north',
  ]);
});

test.each([
  [{ all: true } as const, ['north', 'south']],
  [{ only: ['id-south'] }, ['south']],
  [{ except: ['id-south'] }, ['north']],
])('selector %j serves %j', (selector, served) => {
  const [step] = planNight(createCatalogue([job('a.one')]), [schedule('a.one', '0 1 * * *', { selector })]);
  expect(['north', 'south'].filter((slug) => step?.serves(tenant(slug)))).toEqual(served);
});

test('a schedule that follows its tenants serves those of its zone', () => {
  const [step] = planNight(createCatalogue([job('a.one')]), [
    schedule('a.one', '0 1 * * *', { zone: 'Asia/Kolkata', tenantZone: 'Asia/Kolkata' }),
  ]);
  expect(step?.serves(tenant('pune', 'Asia/Kolkata'))).toBe(true);
  expect(step?.serves(tenant('oslo', 'Europe/Oslo'))).toBe(false);
});

test('a tenant whose own schedule is paused does not fall back to the general one', () => {
  const [step] = planNight(createCatalogue([job('a.one')]), [
    schedule('a.one', '0 1 * * *'),
    schedule('a.one', '0 5 * * *', { selector: { only: ['id-north'] }, pausedBy: 'mira' }),
  ]);
  expect(['north', 'south'].filter((slug) => step?.serves(tenant(slug)))).toEqual(['south']);
});
