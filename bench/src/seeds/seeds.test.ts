import { expect, test } from 'vitest';
import { parseCurl } from './curl.ts';
import { COUNT, differences, each, type Shape } from './differences.ts';
import { replaySeed, type Site } from './seed.ts';
import { cron, logged, sql } from './steps.ts';

test('curl lines are read as a shell and curl would', () => {
  const line = `curl -X POST https://api.example.org/v1/jobs/x?wait=1 \\
  -H "Authorization: Bearer \\"T\\"" -H 'Content-Type: application/json' \\
  -d '{"a": "b c"}'`;
  expect(parseCurl(line)).toEqual({
    method: 'POST',
    path: '/v1/jobs/x?wait=1',
    headers: { authorization: 'Bearer "T"', 'content-type': 'application/json' },
    body: '{"a": "b c"}',
  });
  expect(parseCurl('curl -s http://localhost:3000/a')).toEqual({ method: 'GET', path: '/a', headers: {}, body: null });
  expect(parseCurl('curl -d x $URL/a')).toMatchObject({ method: 'POST', path: '/a' });
  expect(() => parseCurl('curl --compressed http://x/a')).toThrow("'--compressed' is not understood");
});

test.each<[Shape, unknown, string[]]>([
  [{ a: 1, b: /x/ }, { a: 1, b: 'axb', c: 2 }, []],
  [{ a: 1 }, { a: '1' }, ['the answer.a: expected 1, got "1"']],
  [{ n: COUNT }, { n: -1 }, ['the answer.n: expected a whole number from 0 on, got -1']],
  [each({ s: 'ok' }), [{ s: 'ok' }, { s: 'no' }], ['the answer[1].s: expected "ok", got "no"']],
  [['a', 'b'], ['a'], ['the answer: expected an array of 2, got ["a"]']],
  [{ a: { b: null } }, { a: null }, ['the answer.a: expected an object, got null']],
  [{ a: 1 }, {}, ['the answer.a: expected 1, got undefined']],
])('%j of %j differs in %j', (shape, actual, expected) => {
  expect(differences(shape, actual)).toEqual(expected);
});

test('a step that throws differs, and the next one is done all the same', async () => {
  const steps = [
    { shows: 'one', replay: () => Promise.reject(new TypeError('no answer')) },
    { shows: 'two', replay: async () => [] },
  ];
  expect(await replaySeed({ system: 'x', steps }, {} as Site)).toEqual([
    { shows: 'one', differences: ['it threw TypeError: no answer'] },
    { shows: 'two', differences: [] },
  ]);
});

const site = (found: readonly object[], log = '') =>
  ({ rows: async () => found, workerLog: () => log }) as unknown as Site;

test('a SELECT is sent with our names, and its columns and rows are compared', async () => {
  const sent: string[] = [];
  const asked = {
    rows: async (text: string) => [sent.push(text), { jobname: 'a', runs: 2 }].slice(1),
  } as unknown as Site;
  const step = sql('SELECT jobname, count(*) AS runs FROM cron.job JOIN audit_log ON true', {
    names: { 'cron.job': 'litigation.cron_job', audit_log: 'litigation.audit_log' },
    columns: ['jobname', 'total'],
    rows: each({ runs: COUNT }),
  });
  expect(await step.replay(asked)).toEqual(['the columns[1]: expected "total", got "runs"']);
  expect(sent).toEqual(['SELECT jobname, count(*) AS runs FROM litigation.cron_job JOIN litigation.audit_log ON true']);
});

test('a cron entry is compared with the schedule, a log line is looked for', async () => {
  const entry = cron('0 8 * * *', { job: 'x.y', cron: '0 8 * * *', zone: 'tenant' });
  expect(await entry.replay(site([]))).toEqual(['x.y has no schedule']);
  expect(
    await entry.replay(site([{ cron: '0 9 * * *', zone: 'Asia/Kolkata', tenant_zone: 'Asia/Kolkata', enabled: true }])),
  ).toEqual(['the pattern of x.y: expected "0 8 * * *", got "0 9 * * *"']);
  const line = logged('prefix', /^\[JOB SUCCESS\]/);
  expect(await line.replay(site([], '{"level":30,"msg":"[JOB SUCCESS] x.y"}\nno json'))).toEqual([]);
  expect(await line.replay(site([], '{"msg":"started"}'))).toEqual([expect.stringContaining('no line of 1')]);
});
