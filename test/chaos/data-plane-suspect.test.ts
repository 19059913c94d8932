import { afterAll, describe, expect, it, vi } from 'vitest';
import { endChildren } from '../support/zombie.ts';
import { scene, truth } from './data-plane-bench.ts';

vi.setConfig({ testTimeout: 120_000 });
afterAll(endChildren);

/** A good record far into the file, behind other records of the same chunk. */
const killer = [...truth.rows].find(([, { id }]) => id > 5_000)!;
const [killerOffset, { id: killerId }] = killer;
const DEATHS_MAX = 6;

describe('a record that kills its worker', () => {
  it('is found by safe mode, becomes a letter, and everything else is loaded', async () => {
    const at = await scene();
    try {
      let deaths = 0;
      for (let losses = 0; ; losses++) {
        const end = await at.start({ losses: Math.min(1, losses), dieAtId: killerId }).ended;
        if (end.code === 0) break;
        expect(end.signal).toBe('SIGKILL');
        expect(++deaths).toBeLessThan(DEATHS_MAX);
      }
      expect(deaths).toBe(5);
      const { rows } = await at.pool.query(`select off, code from mendflow.dead_letter where code = 'crash_suspect'`);
      expect(rows).toEqual([{ off: String(killerOffset), code: 'crash_suspect' }]);
      const found = await at.check();
      expect(found).toEqual([
        `offset ${killerOffset} was lost`,
        `the record at ${killerOffset} is a letter and should not be`,
        `loaded is ${truth.rows.size - 1} instead of ${truth.rows.size}`,
        `quarantined is ${truth.letters.size + 1} instead of ${truth.letters.size}`,
      ]);
      expect((await at.pool.query('select * from mendflow.strike')).rows).toEqual([]);
    } finally {
      await at.close();
    }
  });

  it('leaves no innocent behind: a worker that dies for another reason costs nothing', async () => {
    const at = await scene();
    try {
      for (const point of ['chunk.beforeCommit:kill@3', 'chunk.afterLedger:kill@2', 'chunk.midCopy:kill@2'])
        expect(await at.start({ losses: 1, failpoints: point }).ended).toMatchObject({ signal: 'SIGKILL' });
      await at.finish({ losses: 1 });
      expect(await at.check()).toEqual([]);
    } finally {
      await at.close();
    }
  });
});
