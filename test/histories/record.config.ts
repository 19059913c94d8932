// What lives here: how the golden histories are made again: `npx vitest run --config test/histories/record.config.ts`.
// Invariant: never part of `npm test`; what is recorded is committed and from then on only replayed.
// Apart because a history that is made anew by every run of the tests proves nothing about yesterday's runs.
import { defineConfig } from 'vitest/config';
import { shared } from '../support/projects.ts';

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    name: 'record',
    include: ['test/histories/record.ts'],
    globalSetup: ['test/support/stack.ts'],
    hookTimeout: 60_000,
  },
});
