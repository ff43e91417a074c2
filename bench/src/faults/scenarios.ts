import type { App } from '../fleet/app-process.ts';
import { type Fleet, holderOf } from '../fleet/fleet.ts';
import { until } from '../fleet/until.ts';
import type { Load } from './load.ts';

/** Something that goes wrong while runs are worked on. */
export interface Fault {
  readonly name: string;
  /** Resolves when what was broken is whole again; what the platform lost it must find by itself. Errors: when the fault did not take hold. */
  inject(fleet: Fleet, load: Load): Promise<void>;
}

const BAD_FOR_MS = 4_000;
const LATE_MS = 800;

function oneOf(apps: readonly App[]): App {
  const app = apps[0];
  if (app === undefined) throw new Error('the fault needs a process that is up');
  return app;
}

/** The worker that holds one of the sweeps. */
async function sweeper(fleet: Fleet, load: Load): Promise<{ worker: App; runId: string }> {
  const ids = [...load.sweeps.values()].flat();
  return until('a worker with a sweep in hand', async () => {
    for (const runId of ids) {
      const worker = await holderOf(fleet, runId);
      if (worker !== null) return { worker, runId };
    }
    return null;
  });
}

/** In the middle of its answers, right after one: what it said it must have kept. */
const apiKill: Fault = {
  name: 'API SIGKILL after accept',
  async inject(fleet, load) {
    const api = oneOf(fleet.apis());
    await load.ledger.start('ops.canary', { input: {} });
    await api.kill();
    await fleet.addApi();
  },
};

const workerKill: Fault = {
  name: 'worker SIGKILL',
  async inject(fleet, load) {
    const { worker } = await sweeper(fleet, load);
    await worker.kill();
    await fleet.addWorker();
  },
};

const workerTerm: Fault = {
  name: 'worker SIGTERM',
  async inject(fleet, load) {
    const { worker } = await sweeper(fleet, load);
    const [exit] = await Promise.all([worker.stop(), fleet.addWorker()]);
    if (exit.code === 0) return;
    throw new Error(`the worker did not stop cleanly (${exit.signal ?? exit.code}):\n${worker.log().slice(-2_000)}`);
  },
};

/** Stopped past lease and lock, so that others take over what it holds; then it goes on as if nothing had happened. */
const zombie: Fault = {
  name: 'worker SIGSTOP past its lease, SIGCONT',
  async inject(fleet, load) {
    const { worker, runId } = await sweeper(fleet, load);
    worker.signal('SIGSTOP');
    try {
      await until('another worker to take the sweep over', async () => {
        const [row] = await fleet.admin.rows<{ taken: boolean }>(
          `SELECT crashes > 0 AND state = 'running' AS taken FROM ops.open_runs WHERE id = $1
           UNION ALL SELECT crashes > 0 FROM ops.runs WHERE id = $1`,
          [runId],
        );
        return row?.taken === true;
      });
    } finally {
      worker.signal('SIGCONT');
    }
    await until('the zombie to be heard of again', async () => {
      const [row] = await fleet.admin.rows<{ heard: boolean }>(
        `SELECT heartbeat_at > clock_timestamp() - interval '5 seconds' AS heard FROM ops.workers WHERE pid = $1`,
        [worker.pid],
      );
      return row?.heard === true;
    });
  },
};

const flushAll: Fault = {
  name: 'FLUSHALL',
  async inject(fleet) {
    if ((await fleet.redis.size()) === 0) throw new Error('Redis was empty before it was flushed');
    await fleet.redis.flushAll();
  },
};

const redisWithFile: Fault = {
  name: 'Redis SIGKILL, back with its file',
  async inject(fleet) {
    await fleet.redis.kill();
    await fleet.redis.start({ keepFile: true });
  },
};

const redisWithoutFile: Fault = {
  name: 'Redis SIGKILL, back without its file',
  async inject(fleet) {
    await fleet.redis.kill();
    await fleet.redis.start({ keepFile: false });
  },
};

const postgresImmediate: Fault = {
  name: 'Postgres immediate restart',
  async inject(fleet) {
    await fleet.postgres.stop('immediate');
    await fleet.postgres.start();
  },
};

const postgresFast: Fault = {
  name: 'Postgres fast restart',
  async inject(fleet) {
    await fleet.postgres.stop('fast');
    await fleet.postgres.start();
  },
};

const terminateBackends: Fault = {
  name: 'all backends terminated',
  async inject(fleet) {
    if ((await fleet.terminateBackends()) === 0) throw new Error('there was no backend to terminate');
  },
};

/** The network is bad for a while: here time is the fault, so it is waited for. */
function badNetwork(name: string, worsen: (fleet: Fleet) => void): Fault {
  return {
    name,
    async inject(fleet) {
      worsen(fleet);
      await new Promise((resolve) => setTimeout(resolve, BAD_FOR_MS));
      for (const server of [fleet.redis, fleet.postgres]) server.proxy.set('pass');
    },
  };
}

/** What was connected is lost, what connects anew passes. */
function lostConnections(name: string, lose: (fleet: Fleet) => void): Fault {
  return { name, inject: async (fleet) => lose(fleet) };
}

/** The other side is gone without a word: only time tells. */
const redisHalfOpen = lostConnections('Redis half-open', (fleet) => fleet.redis.proxy.blackhole());

/** What the gate tries, each once. */
export const GATE_FAULTS: readonly Fault[] = [
  apiKill,
  flushAll,
  redisWithoutFile,
  redisHalfOpen,
  terminateBackends,
  postgresImmediate,
  workerTerm,
  zombie,
];

/** What `bench/faults` draws from. */
export const ALL_FAULTS: readonly Fault[] = [
  ...GATE_FAULTS,
  workerKill,
  redisWithFile,
  postgresFast,
  badNetwork('Redis silent', (fleet) => fleet.redis.proxy.set('silent')),
  badNetwork('Redis drops replies', (fleet) => fleet.redis.proxy.set('drop-replies')),
  badNetwork('Redis slow', (fleet) => fleet.redis.proxy.set('delay', LATE_MS)),
  lostConnections('Redis cut', (fleet) => fleet.redis.proxy.cut()),
  lostConnections('Postgres half-open', (fleet) => fleet.postgres.proxy.blackhole()),
  badNetwork('Postgres drops replies', (fleet) => fleet.postgres.proxy.set('drop-replies')),
  badNetwork('Postgres slow', (fleet) => fleet.postgres.proxy.set('delay', LATE_MS)),
  lostConnections('Postgres cut', (fleet) => fleet.postgres.proxy.cut()),
];

/** Nothing goes wrong: what is found then is the harness' own fault. */
export const NO_FAULT: Fault = { name: 'none (control)', inject: async () => undefined };
