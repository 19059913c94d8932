// What lives here: how `npm run test:acceptance` runs the tests on big, foreign input.
// Invariant: one file at a time, so that figures of time and memory mean something.
// Apart from vitest.config.ts because these take minutes and need data that is not in the repository.
import { defineConfig } from 'vitest/config';
import { shared } from './test/support/projects.ts';

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    name: 'acceptance',
    include: ['test/acceptance/**/*.test.ts'],
    globalSetup: ['test/support/stack.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    maxWorkers: 1,
    testTimeout: 900_000,
    hookTimeout: 120_000,
  },
});
