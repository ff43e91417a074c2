import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

let ticks: number | null = null;

function ticksPerSecond(): number {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks;
}

interface Stat {
  readonly parent: number;
  /** Of the process and of those children it has waited for, s. */
  readonly cpuSeconds: number;
}

/** Fields of /proc/<pid>/stat. The name in parentheses may hold spaces and parentheses itself. */
export function parseStat(text: string, perSecond: number): Stat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (field: number) => Number(fields[field - 3] ?? 0);
  return { parent: number(4), cpuSeconds: (number(14) + number(15) + number(16) + number(17)) / perSecond };
}

function statOf(pid: number | string): Stat | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'), ticksPerSecond());
  } catch {
    // It has ended, or this system has no /proc.
    return null;
  }
}

/** CPU seconds of a process so far; NaN where the system doesn't tell. */
export function cpuOf(pid: number): number {
  return statOf(pid)?.cpuSeconds ?? Number.NaN;
}

/** With its living children: a postmaster's backends. Those that ended are in the parent's own figure. */
export function cpuWithChildren(pid: number): number {
  const own = statOf(pid);
  if (own === null) return Number.NaN;
  let sum = own.cpuSeconds;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statOf(entry);
    if (stat?.parent === pid) sum += stat.cpuSeconds;
  }
  return sum;
}

/** CPU seconds that all processes of the machine have used, stolen time included. */
function machineCpu(): number {
  try {
    const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first
      .trim()
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return (user + nice + system + irq + softirq + steal) / ticksPerSecond();
  } catch {
    return Number.NaN;
  }
}

/** The processes whose work is a system's cost. */
export type CpuPart = 'producer' | 'worker' | 'redis' | 'postgres';

export interface Metered {
  readonly seconds: number;
  readonly cpu: Readonly<Record<CpuPart, number>>;
  /** Share of the machine's cores that others used meanwhile, 0 to 1. */
  readonly otherLoad: number;
}

/** Starts counting. The answer ends it. */
export function startMeter(parts: Readonly<Record<CpuPart, () => number>>): () => Metered {
  const read = () => ({
    at: performance.now(),
    machine: machineCpu(),
    own: cpuOf(process.pid),
    producer: parts.producer(),
    worker: parts.worker(),
    redis: parts.redis(),
    postgres: parts.postgres(),
  });
  const before = read();
  return () => {
    const after = read();
    const seconds = (after.at - before.at) / 1_000;
    const cpu = {
      producer: after.producer - before.producer,
      worker: after.worker - before.worker,
      redis: after.redis - before.redis,
      postgres: after.postgres - before.postgres,
    };
    const ours = cpu.producer + cpu.worker + cpu.redis + cpu.postgres + after.own - before.own;
    const others = after.machine - before.machine - ours;
    return { seconds, cpu, otherLoad: Math.max(0, others / seconds / cpus().length) };
  };
}
