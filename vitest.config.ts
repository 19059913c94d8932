// What lives here: how `vitest run` runs the tests: three projects, one of which needs no infrastructure.
// Invariant: no retries, and a package name of our own means the sources, not what was built before.
// Apart from the acceptance tests, which take minutes and have their own config.
import { defineConfig } from 'vitest/config';
import { Order } from './test/support/order.ts';
import { longTests, shared } from './test/support/projects.ts';

// Files share a few processes: one of its own for each costs a quarter of all that they compute. A file leaves its process as it found it.
// Not where a test counts what its process holds, or breaks things on purpose.
const together = { isolate: false };
const needsStack = { globalSetup: ['test/support/stack.ts'], hookTimeout: 60_000 };

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    maxWorkers: 4,
    sequence: { sequencer: Order },
    projects: [
      {
        ...shared,
        test: { ...shared.test, ...together, name: 'unit', include: ['test/{model,unit,simulation}/**/*.test.ts'] },
      },
      {
        ...shared,
        test: {
          ...shared.test,
          ...together,
          ...needsStack,
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{model,unit,simulation,chaos,acceptance}/**'],
        },
      },
      {
        ...shared,
        test: {
          ...shared.test,
          ...needsStack,
          name: 'chaos',
          // What was broken on purpose may rightly wait most of a minute before it is tried again.
          testTimeout: 180_000,
          include: ['test/chaos/**/*.test.ts'],
          exclude: Object.values(longTests).flat(),
        },
      },
    ],
  },
});
