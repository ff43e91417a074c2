import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../peers-memory.js', import.meta.url));
const BALLOONS = '/sys/bus/virtio/drivers/virtio_balloon';
/** Of what is free; the rest is for whoever needs some meanwhile. */
const SHARE = 0.85;
/** More would take more mappings than Linux allows a process. */
const MOST_MIB = 96 * 1_024;
/** From here on malloc makes a mapping of each allocation, of as many as are asked for. */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_MMAP_MAX_: '1000000' };

export interface KeptMemory {
  /** Of it a fifteenth is held, the rest is free to use. */
  readonly mib: number;
  readonly pid: number;
  release(): Promise<void>;
}

/**
 * A virtual machine's balloon lets the host take back what is free here, block by block of 2 MiB and within seconds; a page that was taken back costs
 * whoever asks for it next 5 to 10 µs where 1 is usual. Then a drain is as fast as whoever came before it left memory behind. So a piece of each block is
 * held: what is free stays here. Null: there is no balloon. Errors: as `keep`.
 */
export async function keepMemory(): Promise<KeptMemory | null> {
  if (!existsSync(BALLOONS) || !readdirSync(BALLOONS).some((name) => name.startsWith('virtio'))) return null;
  return keep(Math.min(MOST_MIB, Math.floor((freemem() * SHARE) / 2 ** 20)));
}

/** Takes so many MiB and gives them back but for a piece of each block. Errors: they could not be had. */
export async function keep(mib: number): Promise<KeptMemory> {
  const child = fork(SCRIPT, [String(mib)], { execArgv: ['--expose-gc'], env: { ...process.env, ...MALLOC } });
  const ended = once(child, 'exit');
  const told = await Promise.race([once(child, 'message'), ended.then(([code, signal]) => code ?? signal)]);
  if (!Array.isArray(told))
    throw new Error(`${mib} MiB of memory could not be kept: the process for it ended with ${told}`);
  return {
    mib,
    pid: child.pid ?? -1,
    async release() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.disconnect();
      await ended;
    },
  };
}
