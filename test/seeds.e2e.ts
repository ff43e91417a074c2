import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MailSink, startMailSink } from '../apps/cli/src/mail/mail-sink.ts';
import { type Fleet, startFleet } from '../bench/src/fleet/index.ts';
import { readMails, replaySeed, SEEDS, type Site } from '../bench/src/seeds/index.ts';

const OTHERS = {
  facilities: 2,
  clients: 50,
  zakatUsers: 60,
  firms: 2,
  organisations: 2,
  organisationUsers: 30,
};

let mailDir: string;
let mail: MailSink;
let fleet: Fleet;
let site: Site;

beforeAll(async () => {
  mailDir = mkdtempSync(join(tmpdir(), 'nightshift-seeds-mail-'));
  mail = await startMailSink({ dir: mailDir, smtpPort: 0, webPort: 0 });
  fleet = await startFleet({
    workers: 2,
    gyms: { count: 2, members: 120 },
    others: OTHERS,
    workerEnv: {
      SMTP_URL: mail.smtpUrl,
      MAIL_FROM: 'Nightshift <jobs@nightshift.localhost>',
      EMAIL_PER_SECOND: '200',
      ALERT_EMAIL_TO: 'operations@nightshift.example',
    },
  });
  site = {
    apiUrl: fleet.apis()[0]?.url ?? '',
    cronSecret: fleet.cronSecret,
    functionsApiKey: fleet.functionsApiKey,
    env: fleet.env,
    token: fleet.caller.token,
    rows: fleet.admin.rows,
    workerLog: () =>
      fleet
        .workers()
        .map((worker) => worker.log())
        .join('\n'),
    mails: () => readMails(mail.webUrl),
  };
});
afterAll(async () => {
  await fleet?.close();
  await mail?.close();
  rmSync(mailDir, { recursive: true, force: true });
});

// Each system has tables and jobs of its own: their replays don't meet.
test.concurrent.each(SEEDS.map((seed) => [seed.system, seed] as const))(
  '%s: the answers are as its document shows them',
  async (_system, seed) => {
    const replayed = await replaySeed(seed, site);
    expect(replayed.length).toBeGreaterThan(0);
    expect(replayed.filter((step) => step.differences.length > 0)).toEqual([]);
  },
);
