import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { commitChunk, type Lane, type Work } from '../../src/flow/chunk.ts';
import { json, parse, type OpenedRecords, recordReader, table } from '../../src/flow/index.ts';
import { createLimit } from '../../src/flow/limit.ts';
import { directLoader } from '../../src/flow/loader.ts';
import type { Chunk } from '../../src/flow/types.ts';
import { classify } from '../../src/model/classify.ts';
import { connect, disconnect } from '../../src/store/db.ts';
import { ensureRun } from '../../src/store/ensure-run.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { takeLease } from '../../src/store/lease.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

const into = table('items', { id: 'bigint' });
const noBins = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(() =>
  sink.pool.query(
    'drop table if exists items; create table items (source_id bigint, "offset" bigint, id bigint, primary key (source_id, "offset"))',
  ),
);

const stored = async (): Promise<number> =>
  Number((await sink.pool.query<{ n: string }>('select count(*) as n from items')).rows[0]!.n);

let runs = 0;
/** A run with a lease, one lane that holds it, and the chunks of ten records in the given cut. */
async function staged() {
  const ctx = contextOf({ runKey: `test/2026-11-21/chunk-${++runs}` });
  await ensureRun(sink.pool, ctx);
  const opened: OpenedRecords = await memorySource(lines(10, (index) => `{"id":${index}}`)).openRecords(ctx, sink, '');
  const reader = recordReader(opened, { steps: [parse(json)], target: into, ctx });
  const key = { runKey: ctx.runKey, generation: 1, stage: ctx.stage, sourceId: opened.sourceId };
  const control = await connect({ url: sink.url, applicationName: 'control' });
  const wish = { runKey: ctx.runKey, stage: ctx.stage, lanes: 1, attemptAt: 1, holder: 'test' };
  const lease = await takeLease(control, wish);
  // Named so that no take-over finds it: what is left to stop it is the fence.
  const lane: Lane = { no: 0, client: await connect({ url: sink.url, applicationName: 'nobody ends me' }) };
  const work: Work = {
    key,
    target: into,
    loader: directLoader(into),
    lease,
    limit: createLimit(1, noBins),
    seal: sink.seal,
    reader,
  };
  const cut = async (recordsMax: number): Promise<Chunk[]> => {
    const chunks: Chunk[] = [];
    for await (const chunk of reader.chunks([opened.slice], { recordsMax, signal: ctx.signal })) chunks.push(chunk);
    return chunks;
  };
  return {
    ctx,
    control,
    wish,
    lane,
    work,
    cut,
    end: () => Promise.all([disconnect(control), disconnect(lane.client)]),
  };
}

describe('a chunk', () => {
  it('of a writer that was replaced is refused by the fence alone, whole', async () => {
    const { control, wish, lane, work, cut, end } = await staged();
    const [first, second] = await cut(5);
    await commitChunk(work, lane, first!);
    await takeLease(control, { ...wish, attemptAt: 2 });
    const late = await commitChunk(work, lane, second!).catch((error: unknown) => error);
    expect(classify(late).code).toBe('fenced');
    expect(await stored()).toBe(5);
    await end();
  });

  it('of a run that was closed is refused', async () => {
    const { ctx, lane, work, cut, end } = await staged();
    await closeRun(sink.pool, ctx.runKey);
    const late = await commitChunk(work, lane, (await cut(5))[0]!).catch((error: unknown) => error);
    expect(classify(late).code).toBe('fenced');
    expect(await stored()).toBe(0);
    await end();
  });

  it('that is in the ledger already is done; another cut or other bytes of the same range are a conflict', async () => {
    const { lane, work, cut, end } = await staged();
    const [first] = await cut(5);
    expect(await commitChunk(work, lane, first!)).toMatchObject({ loaded: 5 });
    expect(await commitChunk(work, lane, first!)).toBeUndefined();
    const other = { ...first!, rawSha256: Buffer.alloc(32) };
    for (const chunk of [other, ...(await cut(3)).slice(0, 2), ...(await cut(10))])
      await expect(commitChunk(work, lane, chunk)).rejects.toMatchObject({ failure: { code: 'ledger_conflict' } });
    expect(await stored()).toBe(5);
    await end();
  });

  it.each([
    'chunk.afterBegin',
    'chunk.afterLedger',
    'chunk.afterCopy',
    'chunk.afterLetters',
    'chunk.afterFence',
    'chunk.beforeCommit',
  ] as const)('that fails at %s has left nothing, and its connection goes on', async (point) => {
    const { lane, work, cut, end } = await staged();
    const [first] = await cut(5);
    armFailpoints(`${point}:throw`);
    await expect(commitChunk(work, lane, first!)).rejects.toThrow(point);
    armFailpoints('');
    expect(await stored()).toBe(0);
    expect(await commitChunk(work, lane, first!)).toMatchObject({ loaded: 5 });
    await end();
  });

  it('that fails inside of COPY has left nothing', async () => {
    const { lane, work, cut, end } = await staged();
    armFailpoints('chunk.midCopy:throw');
    await expect(commitChunk(work, lane, (await cut(5))[0]!)).rejects.toThrow('chunk.midCopy');
    armFailpoints('');
    expect(await stored()).toBe(0);
    await end();
  });

  it('whose commit is in doubt says so, and the lease that is taken then finds it in the ledger or not, for good', async () => {
    const { control, wish, lane, work, cut, end } = await staged();
    armFailpoints('chunk.inCommit:throw');
    const [first] = await cut(5);
    await expect(commitChunk(work, lane, first!)).rejects.toMatchObject({ failure: { code: 'pg_commit_unknown' } });
    armFailpoints('');
    await takeLease(control, wish);
    const before = await stored();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await stored()).toBe(before);
    await end();
  });
});

describe('a failpoint', () => {
  it('does nothing unless armed, and arming a name that is none fails', () => {
    expect(() => armFailpoints('chunk.nowhere:kill')).toThrow(/no failpoint/);
    expect(() => armFailpoints('chunk.afterBegin:explode')).toThrow(/no failpoint/);
  });
});
