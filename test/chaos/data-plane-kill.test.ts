import { afterAll, describe, expect, it, vi } from 'vitest';
import { failpoints } from '../../src/store/failpoint.ts';
import { endChildren, until } from '../support/zombie.ts';
import { scene } from './data-plane-bench.ts';

vi.setConfig({ testTimeout: 120_000 });
afterAll(endChildren);

/** Points passed once in a run act at the first passing, the others in the middle. */
const nth = (point: string): number => (/^(lease|run|flow)\./.test(point) ? 1 : 9);
const LANES = 2;

describe('kill -9 of the loader', () => {
  it.concurrent.each(failpoints)(
    'at %s loses nothing, doubles nothing and reads at most a chunk per connection again',
    async (point) => {
      const at = await scene();
      try {
        const killed = at.start({ failpoints: `${point}:kill@${nth(point)}` });
        expect(await killed.ended).toMatchObject({ signal: 'SIGKILL' });
        await at.finish();
        expect(await at.check()).toEqual([]);
        expect(at.redone()).toBeLessThanOrEqual(LANES);
      } finally {
        await at.close();
      }
    },
  );

  it('again and again, with other chunk sizes each time', async () => {
    const at = await scene();
    try {
      for (const [index, recordsMax] of [700, 1_300, 250, 2_000].entries())
        await at.start({ failpoints: `chunk.beforeCommit:kill@${index + 2}`, recordsMax }).ended;
      await at.finish({ recordsMax: 900 });
      expect(await at.check()).toEqual([]);
    } finally {
      await at.close();
    }
  });
});

describe('SIGTERM of the loader', () => {
  it('ends it in order between two chunks, and the next attempt goes on behind them', async () => {
    const at = await scene();
    try {
      const child = at.start({ recordsMax: 200 });
      await until(() => at.log().some(({ committed }) => committed), child);
      child.kill('SIGTERM');
      expect(await child.ended).toMatchObject({ code: 0 });
      await at.finish();
      expect(await at.check()).toEqual([]);
      expect(at.redone()).toBeLessThanOrEqual(LANES);
    } finally {
      await at.close();
    }
  });
});
