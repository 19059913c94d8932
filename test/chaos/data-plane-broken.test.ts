import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { endChildren, until, untilStopped } from '../support/zombie.ts';
import { scene, type Scene, truth } from './data-plane-bench.ts';
import { brokenLoaders } from './data-plane-broken.ts';
import { rowViolations } from './data-plane-checker.ts';

vi.setConfig({ testTimeout: 120_000 });
afterAll(endChildren);

async function verdict(body: (at: Scene) => Promise<void>): Promise<string> {
  const at = await scene();
  try {
    await body(at);
    return (await rowViolations(at.pool, 'rows_plain', truth)).join('; ');
  } finally {
    await at.close();
  }
}

describe('the checker', () => {
  it.concurrent.each(Object.keys(brokenLoaders) as (keyof typeof brokenLoaders)[])(
    'acquits %s while nothing fails',
    async (broken) => {
      expect(await verdict((at) => at.finish({ broken }))).toBe('');
    },
  );

  it.concurrent('convicts a loader that commits, and then writes its checkpoint', async () => {
    const found = await verdict(async (at) => {
      await at.start({ broken: 'commitThenCheckpoint', failpoints: 'chunk.afterCommit:kill@5' }).ended;
      await at.finish({ broken: 'commitThenCheckpoint' });
    });
    expect(found).toMatch(/is there 2 times/);
  });

  it.concurrent('convicts a loader without a fence', async () => {
    const found = await verdict(async (at) => {
      const zombie = at.start({ broken: 'noFence', failpoints: 'chunk.afterCommit:stop@5' });
      await untilStopped(zombie.pid);
      await at.finish({ broken: 'noFence' });
      zombie.kill('SIGCONT');
      await zombie.ended;
    });
    expect(found).toMatch(/is there 2 times/);
  });

  it.concurrent('convicts a loader that remembers chunks by number', async () => {
    const found = await verdict(async (at) => {
      await at.start({ broken: 'chunkNumbers', failpoints: 'chunk.afterCommit:kill@5' }).ended;
      await at.finish({ broken: 'chunkNumbers', recordsMax: 300 });
    });
    expect(found).toMatch(/is there 2 times|was lost/);
  });

  it.concurrent('convicts a loader that reads the ledger before it takes the lease', async () => {
    const found = await verdict(async (at) => {
      const proxy = await startProxy(at.url, (nth) => (nth === 5 ? 'hold' : 'pass'));
      const go = join(at.dir, 'go');
      const first = at.start({ broken: 'ledgerBeforeLease', url: proxy.url });
      const second = at.start({ broken: 'ledgerBeforeLease', waitFor: go });
      // The second has read its checkpoint when it waits for the file; only then the commit in doubt arrives.
      await until(() => proxy.commits() >= 5, first);
      await until(() => existsSync(`${go}.waiting`), second);
      first.kill('SIGSTOP');
      await untilStopped(first.pid);
      proxy.release();
      await sleep(300);
      writeFileSync(go, '');
      await second.ended;
      await proxy.close();
    });
    expect(found).toMatch(/is there 2 times/);
  });
});
