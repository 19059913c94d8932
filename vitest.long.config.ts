// What lives here: how `npm run test:long` runs the tests that take minutes: long outages, many runs, many kills.
// Invariant: what counts by the second, or fills both cores, runs alone; only what mostly waits has neighbours.
// Apart from vitest.config.ts because they take minutes.
import { defineConfig } from 'vitest/config';
import { longTests, shared } from './test/support/projects.ts';

const long = {
  ...shared.test,
  globalSetup: ['test/support/stack.ts'],
  testTimeout: 600_000,
  hookTimeout: 120_000,
};
const project = (name: 'waiting' | 'alone', groupOrder: number, maxWorkers: number) => ({
  ...shared,
  test: { ...long, name, include: longTests[name], maxWorkers, sequence: { groupOrder } },
});

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    projects: [project('waiting', 0, 3), project('alone', 1, 1)],
  },
});
