import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem, type } from 'node:os';
import { peerNode, peerVersion } from './peer-packages.ts';
import { type Platform, POSTGRES_SETTINGS, REDIS_SETTINGS } from './platform.ts';

/** What the figures were measured on, a sentence each. */
export function describeMachine(
  platform: Platform,
  { peers, keptMib }: { peers: boolean; keptMib: number | null },
): string[] {
  const gib = Math.round(totalmem() / 2 ** 30);
  const settings = (of: object) =>
    Object.entries(of)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  const lines = [
    `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${gib} GiB, ${type()} ${release()}: producer, workers, Redis and Postgres share them.`,
    `Postgres ${platform.versions.postgres} (${settings(POSTGRES_SETTINGS)}), Redis ${platform.versions.redis} (${settings(REDIS_SETTINGS)}).`,
    `Nightshift and BullMQ on Node ${process.versions.node}.`,
  ];
  if (keptMib !== null)
    lines.push(
      `A virtual machine whose host takes back what is free: ${Math.round(keptMib / 1_024)} GiB were taken once, before the first round, and kept from it.`,
    );
  if (!peers) return lines;
  const node = execFileSync(peerNode(), ['--version'], { encoding: 'utf8' }).trim().slice(1);
  lines.push(
    `pg-boss ${peerVersion('pg-boss')} and graphile-worker ${peerVersion('graphile-worker')} on Node ${node}: they need a newer one than Nightshift.`,
  );
  return lines;
}
