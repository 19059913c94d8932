import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { startPostgres } from '../../src/stack/index.ts';
import { startProxy } from '../support/proxy.ts';
import { endChildren, until, untilStopped } from '../support/zombie.ts';
import { scene, type Scene } from './data-plane-bench.ts';

vi.setConfig({ testTimeout: 120_000 });
afterAll(endChildren);

const LANES = 2;
/** Locks alone would hold a successor up for 10 s and more, until the server ends the idle transaction. */
const TAKE_OVER_MS_MAX = 6_000;

/** From the successor's first step to its first chunk. */
function takenAfterMs(at: Scene): number {
  const log = at.log();
  const ready = log.findLast(({ ready: is }) => is)!;
  const taken = log.find((line) => line.pid === ready.pid && line.taken)!;
  return taken.at - ready.at;
}

async function staged(body: (at: Scene) => Promise<void>, url?: string): Promise<void> {
  const at = await scene(url);
  try {
    await body(at);
  } finally {
    await at.close();
  }
}

describe('a loader that is stopped, replaced and woken (SIGSTOP, SIGCONT)', () => {
  it.concurrent.each([
    ['between two chunks', 'chunk.afterCommit:stop@7'],
    ['idle in its transaction', 'chunk.afterBegin:stop@7'],
    ['behind the ledger row', 'chunk.afterLedger:stop@7'],
    ['inside of COPY', 'chunk.midCopy:stop@7'],
    ['behind the fence', 'chunk.beforeCommit:stop@7'],
    ['while it takes the lease', 'lease.afterTerminate:stop@1'],
  ])('%s does not hold its successor up, and writes nothing when it wakes', async (_where, failpoints) => {
    await staged(async (at) => {
      const zombie = at.start({ failpoints, attemptAt: 1_000 });
      await untilStopped(zombie.pid);
      await at.finish({ attemptAt: 2_000 });
      expect(takenAfterMs(at)).toBeLessThan(TAKE_OVER_MS_MAX);
      expect(await at.check()).toEqual([]);
      zombie.kill('SIGCONT');
      expect(await zombie.ended).toMatchObject({ code: 1 });
      expect(await at.check()).toEqual([]);
      expect(at.redone()).toBeLessThanOrEqual(LANES);
    });
  });

  it.concurrent('inside of COMMIT: the late commit is refused', async () => {
    await staged(async (at) => {
      const proxy = await startProxy(at.url, (nth) => (nth === 8 ? 'hold' : 'pass'));
      const zombie = at.start({ url: proxy.url, attemptAt: 1_000 });
      await until(() => proxy.commits() >= 8, zombie);
      zombie.kill('SIGSTOP');
      await untilStopped(zombie.pid);
      await at.finish({ attemptAt: 2_000 });
      expect(await at.check()).toEqual([]);
      proxy.release();
      zombie.kill('SIGCONT');
      expect(await zombie.ended).toMatchObject({ code: 1 });
      expect(await at.check()).toEqual([]);
      await proxy.close();
    });
  });

  it.concurrent('does not take the lease back from the newer attempt', async () => {
    await staged(async (at) => {
      const newer = at.start({ failpoints: 'chunk.afterCommit:stop@3', attemptAt: 2_000 });
      await untilStopped(newer.pid);
      const older = await at.start({ attemptAt: 1_000 }).ended;
      expect(older.code).toBe(1);
      expect(at.log().at(-1)).toMatchObject({ failed: 'fenced' });
      newer.kill('SIGCONT');
      expect(await newer.ended).toMatchObject({ code: 0 });
      expect(await at.check()).toEqual([]);
    });
  });
});

describe('a connection that is cut at COMMIT', () => {
  it.concurrent.each(['cut-answer', 'cut-before'] as const)(
    '(%s) is settled by taking the lease again, in the same attempt',
    async (how) => {
      await staged(async (at) => {
        const proxy = await startProxy(at.url, (nth) => (nth === 6 || nth === 12 ? how : 'pass'));
        await at.finish({ url: proxy.url });
        expect(proxy.commits()).toBeGreaterThan(12);
        expect(await at.check()).toEqual([]);
        expect(at.redone()).toBeLessThanOrEqual(2 * LANES);
        await proxy.close();
      });
    },
  );
});

describe('Postgres stopped with -m immediate in the middle of a load', () => {
  it('costs one attempt and at most a chunk per connection', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mendflow-immediate-'));
    chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
    const options = { dir, cacheDir: join(dir, 'cache') };
    let server = await startPostgres(options);
    try {
      await staged(async (at) => {
        const loader = at.start({ recordsMax: 200 });
        await until(() => at.log().filter(({ committed }) => committed).length >= 20, loader);
        await server.stop('immediate');
        expect(await loader.ended).toMatchObject({ code: 1 });
        server = await startPostgres(options);
        await at.finish({ url: server.url, recordsMax: 200 });
        expect(await at.check()).toEqual([]);
        expect(at.redone()).toBeLessThanOrEqual(LANES);
      }, server.url);
    } finally {
      await server.stop('immediate');
      await rm(dir, { recursive: true, force: true });
    }
  });
});
