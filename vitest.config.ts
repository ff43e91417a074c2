import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**', '**/dist/**', '**/.nightshift/**'];
const servers = './test/global-setup.ts';

// Tests see the workspace's packages as source, so that nothing has to be built before a test runs.
const conditions = ['@nightshift/source', 'node', 'development|production'];
// CI wants colours in its own logs; what tests compare has none.
const env = { NO_COLOR: '1' };
const fromSource = { resolve: { conditions }, ssr: { resolve: { conditions } } };

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        ...fromSource,
        test: {
          name: 'unit',
          env,
          isolate: false,
          include: ['**/*.test.ts', '**/*.prop.test.ts'],
          exclude: [...exclude, '**/*.race.test.ts'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...fromSource,
        test: {
          name: 'integration',
          env,
          // Each file has its own database and prefix; loading the engine anew for each of them cost a minute.
          isolate: false,
          include: ['**/*.itest.ts', '**/*.race.test.ts'],
          exclude,
          globalSetup: servers,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Whole processes, from dist: one file at a time, because each brings up a fleet.
        test: {
          name: 'e2e',
          env,
          include: ['**/*.e2e.ts'],
          exclude,
          globalSetup: servers,
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 240_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
