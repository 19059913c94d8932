// What lives here: how the golden errors are made again: `npx vitest run --config test/classify/record.config.ts`.
// Invariant: never part of `npm test`; what is recorded is reviewed and committed, and from then on only read.
// Apart because a file that every run of the tests makes anew proves nothing about yesterday's drivers.
import { defineConfig } from 'vitest/config';
import { shared } from '../support/projects.ts';

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    name: 'record',
    include: ['test/classify/record.ts'],
    globalSetup: ['test/support/stack.ts'],
    hookTimeout: 60_000,
  },
});
