import pc from 'picocolors';

/** What one check found. */
export interface Finding {
  /** `redis eviction`, `postgres role`: what was looked at. */
  readonly check: string;
  readonly ok: boolean;
  readonly found: string;
  /** What to do about it; null where nothing is wrong. */
  readonly fix: string | null;
}

export function ok(check: string, found: string): Finding {
  return { check, ok: true, found, fix: null };
}

export function problem(check: string, found: string, fix: string): Finding {
  return { check, ok: false, found, fix };
}

/** `ok` when the condition holds, else the problem with its fix. */
export function expect(condition: boolean, check: string, found: string, fix: string): Finding {
  return condition ? ok(check, found) : problem(check, found, fix);
}

/** One line a check; under each problem what to do. */
export function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map((finding) => finding.check.length));
  const lines = findings.flatMap((finding) => [
    `${finding.ok ? pc.green('ok     ') : pc.red('problem')}  ${finding.check.padEnd(width)}  ${finding.found}`,
    ...(finding.fix === null ? [] : [`${' '.repeat(width + 11)}${pc.yellow('→')} ${finding.fix}`]),
  ]);
  const problems = findings.filter((finding) => !finding.ok).length;
  const end = problems === 0 ? pc.green('Everything is well.') : pc.red(`${problems} to mend.`);
  return [...lines, '', end].join('\n');
}

/** A machine whose clock is off by more than this starts schedules visibly late or early, ms. */
const SKEW_MS = 2_000;

/** `server` was read between `before` and `after`, all in ms since 1970. */
export function clockFinding(check: string, server: number, before: number, after: number): Finding {
  const skew = Math.round(server - (before + after) / 2);
  const beyondDoubt = Math.abs(skew) - (after - before) / 2;
  return expect(
    beyondDoubt <= SKEW_MS,
    check,
    `${Math.abs(skew)} ms ${skew < 0 ? 'behind' : 'ahead of'} this machine`,
    'Let both machines follow the same time server (chrony, systemd-timesyncd).',
  );
}
