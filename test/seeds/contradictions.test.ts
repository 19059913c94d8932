// What is promised here: mistakes that the founding documents make in their own code do not happen here. Each case shows the mistake beside it.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { listLetters } from '../../src/store/letters.ts';
import { scene as chaosScene, truth } from '../chaos/data-plane-bench.ts';
import { endChildren } from '../support/zombie.ts';
import { logLine, type LogScene, openScene } from './log-file.ts';

let scene: LogScene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(async () => {
  await endChildren();
  await scene?.close();
});
afterEach(() => armFailpoints(''));
const letterLines = async (name: string): Promise<(number | null)[]> =>
  (await listLetters(scene.sink.pool, { runKey: `log-ingest/2026-11-20/${name}` })).map(({ line }) => line);

describe('16 a chunk that fails and is halved loses nothing', () => {
  const TOTAL = 10_000;

  it("document 002's loop does: it steps over the failed chunk, and then loads less than it steps", () => {
    let size = 4_000;
    let failedOnce = false;
    let loaded = 0;
    const step = size;
    for (let at = 0; at < TOTAL; at += step) {
      if (!failedOnce && at === 4_000) {
        failedOnce = true;
        size /= 2;
        continue;
      }
      loaded += Math.min(size, TOTAL - at);
    }
    expect(loaded).toBe(6_000);
  });

  it('here the size of a chunk may change at any moment: what is not in the ledger is what is left', async () => {
    const path = scene.write(
      'halved.log',
      Array.from({ length: TOTAL }, (_, index) => logLine(index)),
    );
    armFailpoints('chunk.afterCopy:throw@2');
    await expect(scene.attempt(path, { recordsMax: 4_000 })).rejects.toThrow('Failpoint');
    armFailpoints('chunk.beforeCommit:throw@2');
    await expect(scene.attempt(path, { recordsMax: 2_000 })).rejects.toThrow('Failpoint');
    armFailpoints('');
    const { end, chunks } = await scene.attempt(path, { recordsMax: 1_000 });
    expect(end).toMatchObject({ done: true, out: { read: TOTAL, loaded: TOTAL } });
    expect(chunks).toHaveLength(4);
    expect(
      await scene.rows(
        'select count(*)::int as rows, count(distinct "offset")::int as offsets, max(line_no)::int as last from log_entries_by_path where path = $1',
        [path.slice(1)],
      ),
    ).toEqual([{ rows: TOTAL, offsets: TOTAL, last: TOTAL }]);
  });
});

describe('20 a line that does not match the pattern', () => {
  it('is a letter like any other bad line, and its batch is loaded', async () => {
    const strange = [
      '',
      'no match',
      '[',
      '2026-11-20',
      '2026-11-20T08:00:00.000Z',
      '2026-11-20T08:00:00.000Z INFO',
      'null',
      '\ufffd',
    ];
    const path = scene.write('no-match.log', [
      ...Array.from({ length: 200 }, (_, index) => logLine(index)),
      ...strange,
    ]);
    const { end } = await scene.attempt(path, { quarantineShareMax: 1 });
    expect(end).toMatchObject({ done: true, out: { read: 208, loaded: 200, quarantined: 7, skipped: 1 } });
    expect(await letterLines('no-match.log')).toEqual([202, 203, 204, 205, 206, 207, 208]);
  });
});

describe('21 letters belong to the transaction of their batch', () => {
  it.each(['chunk.afterLetters', 'chunk.beforeCommit'])(
    'a failure at %s leaves neither rows nor letters; the next attempt leaves both, once',
    async (point) => {
      const name = `letters-${point}.log`;
      const path = scene.write(
        name,
        Array.from({ length: 1_000 }, (_, index) => (index === 500 ? 'bad' : logLine(index))),
      );
      const rows = (): Promise<unknown[]> =>
        scene.rows('select count(*)::int as rows from log_entries_by_path where path = $1', [path.slice(1)]);
      armFailpoints(`${point}:throw`);
      await expect(scene.attempt(path)).rejects.toThrow('Failpoint');
      expect({ rows: await rows(), letters: await letterLines(name) }).toEqual({ rows: [{ rows: 0 }], letters: [] });
      armFailpoints('chunk.afterCommit:throw');
      await expect(scene.attempt(path)).rejects.toThrow('Failpoint');
      armFailpoints('');
      await scene.attempt(path);
      expect({ rows: await rows(), letters: await letterLines(name) }).toEqual({
        rows: [{ rows: 999 }],
        letters: [501],
      });
    },
  );
});

describe('22 a crash loses no checkpoint', () => {
  it('kill -9 in mid-run: what was committed is known to the next process, and only the chunk in hand is done again', async () => {
    const at = await chaosScene();
    try {
      // One connection, so that which chunk was in hand is no question of timing.
      expect(await at.start({ failpoints: 'chunk.beforeCommit:kill@9', lanes: 1 }).ended).toMatchObject({
        signal: 'SIGKILL',
      });
      const committed = at.log().filter((line) => line.committed).length;
      expect(committed).toBe(8);
      const { rows } = await at.pool.query<{ chunks: number }>('select count(*)::int as chunks from mendflow.chunk');
      expect(rows).toEqual([{ chunks: 8 }]);
      await at.finish({ lanes: 1 });
      expect(at.redone()).toBe(1);
      expect(await at.check()).toEqual([]);
      const loaded = await at.pool.query<{ rows: number }>('select count(*)::int as rows from rows_checked');
      expect(loaded.rows).toEqual([{ rows: truth.rows.size }]);
    } finally {
      await at.close();
    }
  });
});
