import { expect, test } from 'vitest';
import { type Deadline, deadlineLines } from './deadline-lines.ts';

const NOW = new Date('2026-11-22T03:30:00Z');
const deadline = (id: string, hours: number, more: Partial<Deadline> = {}): Deadline => ({
  kind: 'task', id, title: id, court: null, due: new Date(NOW.getTime() + hours * 3_600_000), priority: 'medium', statutory: false, ...more,
}); // biome-ignore format: one line a deadline

test('hearings, critical and high tasks come first, each part by time', () => {
  const { high, normal } = deadlineLines(
    [
      deadline('low', 1, { priority: 'low' }),
      deadline('medium', 2),
      deadline('hearing', 6, { kind: 'hearing', priority: null, court: 'GSTAT Ahmedabad' }),
      deadline('critical', 5, { priority: 'critical' }),
      deadline('high', 3, { priority: 'high' }),
    ],
    NOW,
    'Asia/Kolkata',
  );
  expect(high.map((line) => line.title)).toEqual(['high', 'critical', 'hearing']);
  expect(normal.map((line) => line.title)).toEqual(['low', 'medium']);
  expect(high[2]).toMatchObject({
    kind: 'Hearing',
    court: 'GSTAT Ahmedabad',
    when: 'Today 3:00 PM',
    completeUrl: null,
  });
});

test('a statutory date cannot be rescheduled', () => {
  const { normal } = deadlineLines([deadline('a', 1), deadline('b', 2, { statutory: true })], NOW, 'UTC');
  expect(
    normal.map((line) => [line.rescheduleUrl === null, line.completeUrl?.endsWith(`/tasks/${line.title}/complete`)]),
  ).toEqual([
    [false, true],
    [true, true],
  ]);
});

test('a message has at most 100 lines, the most urgent, and says how many more there are', () => {
  const many = Array.from({ length: 130 }, (_, i) =>
    deadline(`t${i}`, 1 + i / 10, { priority: i < 60 ? 'low' : 'high' }),
  );
  const { high, normal, more } = deadlineLines(many, NOW, 'UTC');
  expect([high.length, normal.length, more]).toEqual([70, 30, 30]);
});
