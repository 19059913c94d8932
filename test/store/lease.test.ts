import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { commit, connect, disconnect, limitsMs } from '../../src/store/db.ts';
import { ensureRun } from '../../src/store/ensure-run.ts';
import { fence, takeLease } from '../../src/store/lease.ts';
import { abortRun, closeRun, giveUp, insertChunk, isCommitted, uncovered } from '../../src/store/ledger.ts';
import { writeSlice } from '../../src/store/plans.ts';
import { insertSource } from '../../src/store/sources.ts';
import { testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

let runs = 0;
async function opened() {
  const runKey = `test/2026-11-21/lease-${++runs}`;
  await ensureRun(sink.pool, { runKey, pipeline: 'test', dataDate: '2026-11-21', generation: 1 });
  const { id: sourceId } = await insertSource(sink.pool, { pipeline: 'test', name: Buffer.from(runKey) });
  const client = await connect({ url: sink.url, applicationName: 'taker' });
  const wish = { runKey, stage: 'load[a]', lanes: 2, attemptAt: 1_000, holder: 'test' };
  const key = { runKey, generation: 1, stage: 'load[a]', sourceId };
  return { runKey, client, wish, key };
}

const chunkRow = (from: number, to: number, sha = 1) => ({
  from,
  to,
  read: 1,
  loaded: 1,
  duplicate: 0,
  quarantined: 0,
  skipped: 0,
  epoch: '1',
  firstLine: 1,
  rowsOut: 1,
  rawSha256: Buffer.alloc(32, sha),
  rowsSha256: Buffer.alloc(32),
});

describe('a lease', () => {
  it('goes to the same or a newer attempt, with a higher epoch and another token, and never back', async () => {
    const { client, wish } = await opened();
    const first = await takeLease(client, wish);
    const again = await takeLease(client, wish);
    const newer = await takeLease(client, { ...wish, attemptAt: 2_000 });
    expect([first, again, newer].map(({ epoch }) => epoch)).toEqual(['1', '2', '3']);
    expect(new Set([first.token, again.token, newer.token]).size).toBe(3);
    await expect(takeLease(client, wish)).rejects.toMatchObject({ failure: { code: 'fenced' } });
    await disconnect(client);
  });

  it('fences every lane of the attempt before, also lanes that the successor does not use', async () => {
    const { client, wish } = await opened();
    const wide = await takeLease(client, { ...wish, lanes: 4 });
    const narrow = await takeLease(client, { ...wish, lanes: 1 });
    for (const lane of [0, 1, 2, 3]) {
      const fenced = await fence(client, wide, lane).catch((error: unknown) => error);
      expect(classify(fenced).code).toBe('fenced');
    }
    await fence(client, narrow, 0);
    await disconnect(client);
  });

  it('ends the connections of the holder before it waits for locks', async () => {
    const { client, wish } = await opened();
    const first = await takeLease(client, wish);
    const lane = await connect({ url: sink.url, applicationName: first.applicationName });
    await lane.query('begin');
    await fence(lane, first, 0);
    const startedAt = Date.now();
    await takeLease(client, { ...wish, attemptAt: 2_000 });
    expect(Date.now() - startedAt).toBeLessThan(3_000);
    await expect(commit(lane)).rejects.toMatchObject({ failure: { code: 'pg_commit_unknown' } });
    await disconnect(lane);
    await disconnect(client);
  });

  it('is delayed, not forced, while a lock of it cannot be ended', async () => {
    const { client, wish } = await opened();
    const first = await takeLease(client, wish);
    const stranger = await connect({ url: sink.url, applicationName: 'psql' });
    await stranger.query('begin');
    await fence(stranger, first, 0);
    const before = limitsMs.lock;
    limitsMs.lock = 200;
    try {
      const held = takeLease(client, { ...wish, attemptAt: 2_000 });
      await expect(held).rejects.toMatchObject({ failure: { code: 'lease_held', class: 'delayed' } });
    } finally {
      limitsMs.lock = before;
    }
    await commit(stranger);
    expect((await takeLease(client, { ...wish, attemptAt: 2_000 })).epoch).toBe('2');
    await Promise.all([disconnect(client), disconnect(stranger)]);
  });

  it('is refused on a closed run', async () => {
    const { client, wish, runKey } = await opened();
    await closeRun(sink.pool, runKey);
    await expect(takeLease(client, wish)).rejects.toMatchObject({ failure: { code: 'run_closed' } });
    await disconnect(client);
  });
});

describe('the ledger', () => {
  it('plans what no chunk covers, and takes a conflict for "done" only if range and bytes are the same', async () => {
    const { client, key } = await opened();
    const slice = await writeSlice(client, key, { from: 0, to: 100, sealed: true });
    expect(await insertChunk(client, key, chunkRow(10, 20))).toBe(true);
    expect(await insertChunk(client, key, chunkRow(50, 60))).toBe(true);
    expect(await uncovered(client, key, slice)).toEqual([
      { from: 0, to: 10 },
      { from: 20, to: 50 },
      { from: 60, to: 100 },
    ]);
    for (const [from, to] of [
      [10, 20],
      [5, 15],
      [0, 100],
    ] as const)
      expect(await insertChunk(client, key, chunkRow(from, to))).toBe(false);
    expect(await isCommitted(client, key, { from: 10, to: 20 }, Buffer.alloc(32, 1))).toBe(true);
    expect(await isCommitted(client, key, { from: 10, to: 20 }, Buffer.alloc(32, 2))).toBe(false);
    expect(await isCommitted(client, key, { from: 10, to: 19 }, Buffer.alloc(32, 1))).toBe(false);
    await disconnect(client);
  });

  it('does not let a run be closed while bytes of it are unaccounted for, and says which', async () => {
    const { client, key, runKey, wish } = await opened();
    await writeSlice(client, key, { from: 0, to: 100, sealed: true });
    const lease = await takeLease(client, wish);
    await insertChunk(client, key, chunkRow(0, 40));
    const open = await closeRun(sink.pool, runKey);
    expect(open.balanced).toBe(false);
    expect(open.faults).toEqual([`Bytes 40 to 100 of ${runKey} (load) are not accounted for.`]);
    await fence(client, lease, 0); // The writer of a run that stays open goes on.
    await insertChunk(client, key, chunkRow(40, 100));
    const closed = await closeRun(sink.pool, runKey);
    expect(closed).toMatchObject({ balanced: true, read: 2, loaded: 2 });
    expect(await closeRun(sink.pool, runKey)).toEqual(closed);
    const late = await fence(client, lease, 0).catch((error: unknown) => error);
    expect(classify(late).code).toBe('fenced');
    await disconnect(client);
  });

  it('convicts lost letters, strays and records that are in no bin', async () => {
    const { client, key, runKey } = await opened();
    await writeSlice(client, key, { from: 0, to: 10, sealed: true });
    await insertChunk(client, key, { ...chunkRow(0, 10), loaded: 0, quarantined: 1 });
    await insertChunk(client, key, chunkRow(20, 30));
    const { faults } = await closeRun(sink.pool, runKey);
    expect(faults).toEqual([
      `Bytes 20 to 30 of ${runKey} (load) were loaded but never planned.`,
      '1 records were quarantined and 0 letters are kept.',
    ]);
    await expect(insertChunk(client, key, { ...chunkRow(40, 50), read: 2 })).rejects.toMatchObject({ code: '23514' });
    await disconnect(client);
  });

  it('gives up the rest of an aborted run: by whom, why, from where, and that nobody counted it', async () => {
    const { client, key, runKey, wish } = await opened();
    await writeSlice(client, key, { from: 0, to: 100, sealed: true });
    const lease = await takeLease(client, wish);
    await insertChunk(client, key, chunkRow(0, 40));
    const aborted = await abortRun(sink.pool, runKey, { state: 'aborted', actor: 'ada', reason: 'wrong file' });
    expect(aborted).toMatchObject({ balanced: true, read: 1, loaded: 1, uncountedBytes: 60 });
    const { rows } = await client.query(
      `select counted, reason from mendflow.chunk where run_key = $1 and not counted`,
      [runKey],
    );
    expect(rows).toEqual([{ counted: false, reason: 'aborted by ada, from offset 40: wrong file' }]);
    const late = await fence(client, lease, 0).catch((error: unknown) => error);
    expect(classify(late).code).toBe('fenced');
    expect(await abortRun(sink.pool, runKey, { state: 'failed', actor: 'bob', reason: 'again' })).toEqual(aborted);
    await disconnect(client);
  });

  it('gives up ranges only with a reason', async () => {
    const { client, key } = await opened();
    await giveUp(client, key, [{ from: 0, to: 5 }], { epoch: '1', reason: 'loss accepted by ada' });
    await expect(
      client.query(`update mendflow.chunk set reason = null where source_id = $1`, [key.sourceId]),
    ).rejects.toMatchObject({ code: '23514' });
    await disconnect(client);
  });

  it('keeps movements for ever', async () => {
    for (const change of [
      'update mendflow.movement set reason = $$x$$',
      'delete from mendflow.movement',
      'truncate mendflow.movement',
    ])
      await expect(sink.pool.query(change)).rejects.toThrow(/append-only/);
  });
});
