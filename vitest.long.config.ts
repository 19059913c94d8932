// What lives here: how `npm run test:long` runs the tests that take minutes: long outages, many runs, many kills.
// Invariant: one file at a time: they count what an upstream sees in a second, and a busy neighbour would be in the figures.
// Apart from vitest.config.ts because they take minutes.
import { defineConfig } from 'vitest/config';
import { longTests, shared } from './test/support/projects.ts';

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    name: 'long',
    include: longTests,
    globalSetup: ['test/support/stack.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
