// What lives here: how `npm run test:outage` runs the tests of long outages: many runs, many workers, many kills.
// Invariant: one file at a time: they count what an upstream sees in a second, and a busy neighbour would be in the figures.
// Apart from vitest.config.ts because they take minutes.
import { defineConfig } from 'vitest/config';
import { outageTests, shared } from './test/support/projects.ts';

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    name: 'outage',
    include: outageTests,
    globalSetup: ['test/support/stack.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
