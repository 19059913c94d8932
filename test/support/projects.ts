// What lives here: what all vitest projects share.
// Invariant: `mendflow/…` means the sources that package.json names under `mendflow-src`, never what was built before.
// Apart because two config files need it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '..', '..');
const { exports } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
  exports: Record<string, string | Record<string, string>>;
};

// Vite does not follow a package's exports of itself, so they become aliases.
const alias = Object.entries(exports).flatMap(([name, target]) =>
  typeof target === 'object' && target['mendflow-src'] !== undefined
    ? [{ find: new RegExp(`^mendflow${name.slice(1)}$`), replacement: join(repository, target['mendflow-src']) }]
    : [],
);

/** The part of a vitest config that every project has. */
export const shared = {
  resolve: { alias },
  test: { pool: 'forks' as const, testTimeout: 60_000, retry: 0 },
};

/** What takes minutes, or counts by the second: `npm run test:long` runs it, several files at once where a test mostly waits. */
export const longTests = {
  waiting: [
    'test/chaos/daily-kill.test.ts',
    'test/chaos/data-plane-zombie.test.ts',
    'test/chaos/parking-{lost,store,week}.test.ts',
    'test/chaos/run-{clock,kill,servers,stale,stalled,zombie}.test.ts',
  ],
  alone: [
    'test/chaos/breaker-race.test.ts',
    'test/chaos/parking-neighbours.test.ts',
    'test/chaos/recovery-*.test.ts',
    'test/chaos/run-folder.test.ts',
  ],
};
