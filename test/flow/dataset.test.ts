import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type DatasetRef,
  datasetSource,
  flow,
  flowToDataset,
  json,
  landDataset,
  type MadeDataset,
  parse,
  readDataset,
  table,
  transform,
} from '../../src/flow/index.ts';
import { balance } from '../../src/store/balance.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
  await sink.pool.query(
    `create table copies (source_id bigint, "offset" bigint, n bigint, primary key (source_id, "offset"))`,
  );
});
afterAll(() => sink.end());
afterEach(() => armFailpoints(''));

const schema = 'n/1';
const into = table('copies', { n: 'bigint' });
const readAll = async (ref: DatasetRef): Promise<unknown[]> => {
  const all: unknown[] = [];
  for await (const one of readDataset(sink.pool, ref, { schema })) all.push(one);
  return all;
};
const land = (runKey: string, values: readonly unknown[], more: object = {}) =>
  landDataset(contextOf({ runKey, stage: 'extract' }), { schema, asOf: new Date(), sink, ...more }, async ({ put }) => {
    for (const value of values) await put(value);
    return {};
  });
const numbered = (n: number): string => JSON.stringify({ n });
const pass = (runKey: string, content: string, more: { recordsMax?: number; name?: string } = {}) =>
  flowToDataset({
    from: memorySource(content, more.name ?? runKey),
    steps: [parse(json), transform((value: { n: number }) => (value.n % 10 === 7 ? null : value))],
    into: { schema },
    sink,
    ...(more.recordsMax === undefined ? {} : { recordsMax: more.recordsMax }),
  });
const done = async (job: ReturnType<typeof pass>, ctx: Parameters<typeof contextOf>[0]): Promise<MadeDataset> => {
  const end = await job.run(contextOf(ctx));
  if (!end.done) throw new Error('The flow did not end.');
  return end.out;
};
let runs = 0;
const nextRun = (): string => `test/2026-11-21/dataset-${++runs}`;

describe('a dataset that is gathered in one go', () => {
  it('reads back as it was put in, whatever the values are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 30 }), async (values) => {
        const normal = JSON.parse(JSON.stringify(values)) as unknown[];
        expect(await readAll(await land(nextRun(), normal))).toEqual(normal);
      }),
      { numRuns: 15 },
    );
  });

  it('holds parts of at most 1 MiB, also of values that do not shrink', async () => {
    const values = Array.from({ length: 40 }, () => randomBytes(75_000).toString('base64'));
    const ref = await land(nextRun(), values);
    expect(await readAll(ref)).toEqual(values);
    const { rows } = await sink.pool.query<{ parts: number; max: number; storage: string }>(
      `select count(*)::int as parts, max(octet_length(body)) as max, (select attstorage from pg_attribute where attrelid = 'mendflow.dataset_part'::regclass and attname = 'body') as storage
       from mendflow.dataset_part where dataset_id = $1`,
      [ref.dataset],
    );
    expect(rows[0]!.parts).toBeGreaterThan(3);
    expect(rows[0]!.max).toBeLessThanOrEqual(1024 * 1024);
    expect(rows[0]!.storage).toBe('e');
  });

  it('is begun anew by the next attempt, and left alone by one after it was sealed', async () => {
    const runKey = nextRun();
    const ctx = { runKey, stage: 'extract' };
    const options = { schema, asOf: new Date(), sink };
    const broken = landDataset(contextOf(ctx), options, async ({ put }) => {
      for (let n = 0; n < 3; n++) await put('x'.repeat(900_000));
      throw new TypeError('half way');
    });
    await expect(broken).rejects.toThrow('half way');
    const ref = await land(runKey, [1, 2]);
    expect(await readAll(ref)).toEqual([1, 2]);
    const again = await landDataset(contextOf(ctx), options, () => Promise.reject(new Error('asked again')));
    expect(again).toEqual(ref);
  });

  it('names its limit when it is too large, and is not sealed', async () => {
    const values = Array.from({ length: 30 }, () => 'x'.repeat(100_000));
    await expect(land(nextRun(), values, { bytesMax: 2_000_000 })).rejects.toMatchObject({
      failure: { code: 'dataset_too_large', text: expect.stringContaining('2,000,000 may be kept') as string },
    });
  });

  it('cannot be sealed by an attempt that was replaced', async () => {
    const runKey = nextRun();
    const late = landDataset(
      contextOf({ runKey, stage: 'extract' }),
      { schema, asOf: new Date(), sink },
      async (old) => {
        await old.put('old');
        await land(runKey, ['new']);
        return {};
      },
    );
    await expect(late).rejects.toThrow();
    const { rows } = await sink.pool.query<{ id: string }>(
      `select id from mendflow.dataset where run_key = $1 and state = 'sealed'`,
      [runKey],
    );
    expect(rows).toHaveLength(1);
  });
});

describe('the fence of a dataset', () => {
  it('refuses parts and seal of an attempt whose lease was taken, even where its connection still lives', async () => {
    const runKey = nextRun();
    const options = { schema, asOf: new Date(), sink };
    const takenOver = landDataset(contextOf({ runKey, stage: 'extract' }), options, async (landing) => {
      await landing.put(1);
      await sink.pool.query('update mendflow.lease set epoch = epoch + 1 where run_key = $1', [runKey]);
      return {};
    });
    await expect(takenOver).rejects.toMatchObject({ code: 'MF001' });
    const { rows } = await sink.pool.query<{ state: string; parts: number }>(
      `select d.state, count(p.at)::int as parts from mendflow.dataset d left join mendflow.dataset_part p on p.dataset_id = d.id where d.run_key = $1 group by d.id`,
      [runKey],
    );
    expect(rows).toEqual([{ state: 'building', parts: 0 }]);
  });
});

describe('a dataset that a flow makes', () => {
  it('holds what the steps passed on, in the order of the source, however it was cut', async () => {
    const content = lines(2_000, numbered);
    const want = Array.from({ length: 2_000 }, (_, n) => ({ n })).filter(({ n }) => n % 10 !== 7);
    const hashes = new Set<string>();
    for (const recordsMax of [2_000, 300, 37]) {
      const made = await done(pass(nextRun(), content, { recordsMax }), { runKey: `test/2026-11-21/dataset-${runs}` });
      expect(made).toMatchObject({ records: 1_800, skipped: 200, quarantined: 0 });
      hashes.add(made.sha256);
      if (recordsMax === 37) expect(await readAll(made)).toEqual(want);
    }
    expect(hashes.size).toBe(1);
  });

  it.each([
    'flow.afterPlan',
    'dataset.afterPart',
    'chunk.beforeCommit',
    'chunk.afterCommit',
    'dataset.beforeSeal',
    'dataset.afterSeal',
  ])('goes on after a failure at %s, without a record twice', async (point) => {
    const runKey = nextRun();
    const job = pass(runKey, lines(1_000, numbered), { recordsMax: 200 });
    armFailpoints(`${point}:throw@${point.startsWith('chunk') || point.endsWith('Part') ? 3 : 1}`);
    await expect(job.run(contextOf({ runKey }))).rejects.toThrow('Failpoint');
    armFailpoints('');
    const made = await done(job, { runKey });
    expect(made).toMatchObject({ records: 900, skipped: 100 });
    expect(await readAll(made)).toHaveLength(900);
    expect(await done(job, { runKey })).toEqual(made);
  });

  it('accounts each record once through all stages: passed on here, in a bin where it ends', async () => {
    const runKey = nextRun();
    const content = `${lines(500, numbered)}not json\n`;
    const made = await done(pass(runKey, content), { runKey, stage: 'validate' });
    expect(await closeRun(sink.pool, runKey)).toMatchObject({
      balanced: false,
      faults: ['validate passed 450 records on, and later stages have read 0 of them.'],
    });
    const from = datasetSource(made, { schema });
    const end = await flow({ from, steps: [parse(json)], into, sink }).run(contextOf({ runKey, stage: 'load' }));
    expect(end).toMatchObject({ done: true, out: { read: 450, loaded: 450 } });
    expect(await closeRun(sink.pool, runKey)).toMatchObject({
      balanced: true,
      read: 501,
      loaded: 450,
      quarantined: 1,
      skipped: 50,
    });
  });

  it('stops at once where all records are known and too many of them are bad, and keeps a sample', async () => {
    const runKey = nextRun();
    const landed = await land(
      runKey,
      Array.from({ length: 60 }, (_, n) => ({ n })),
    );
    const validate = (bad: number, share = 0.05) =>
      flowToDataset({
        from: datasetSource(landed, { schema }),
        steps: [
          parse((text: string) => {
            const value = json(text) as { n: number };
            if (value.n < bad) throw new RangeError('bad');
            return value;
          }),
        ],
        into: { schema },
        sink,
      }).run(contextOf({ runKey, stage: `validate${bad}`, quarantineShareMax: share }));
    await expect(validate(60)).rejects.toMatchObject({ failure: { code: 'quarantine_limit' } });
    await expect(validate(11)).rejects.toMatchObject({ failure: { code: 'quarantine_limit' } });
    const { rows } = await sink.pool.query<{ n: number }>(
      'select count(*)::int as n from mendflow.dead_letter where run_key = $1 and sample',
      [runKey],
    );
    expect(rows[0]!.n).toBe(20 + 11);
    expect(await validate(10)).toMatchObject({ done: true, out: { records: 50, quarantined: 10 } });
  });

  it('is made again when its records are lost, and the stages behind go on from their ledger', async () => {
    const runKey = nextRun();
    const job = pass(runKey, lines(1_000, numbered), { recordsMax: 100 });
    const made = await done(job, { runKey, stage: 'validate' });
    const load = (ref: DatasetRef, segmentMs = 45_000) =>
      flow({ from: datasetSource(ref, { schema }), steps: [parse(json)], into, sink, recordsMax: 100, lanes: 1 }).run(
        contextOf({ runKey, stage: 'load', segmentMs }),
      );
    expect(await load(made, 0)).toMatchObject({ done: false });
    await sink.pool.query('delete from mendflow.dataset_part where dataset_id = $1', [made.dataset]);
    await sink.pool.query(`update mendflow.dataset set state = 'gone', gone_at = now() where id = $1`, [made.dataset]);
    await expect(load(made)).rejects.toMatchObject({ failure: { code: 'dataset_gone', redo: 'validate' } });
    const again = await done(job, { runKey, stage: 'validate' });
    expect(again.dataset).not.toBe(made.dataset);
    expect(again.sha256).toBe(made.sha256);
    expect(await load(again)).toMatchObject({ done: true, out: { read: 900, loaded: 900 } });
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ balanced: true, read: 1_000, loaded: 900, skipped: 100 });
  });

  it('is refused where a part is damaged, missing or of another schema: never fewer records', async () => {
    const values = Array.from({ length: 8 }, (_, n) => `${n}${'x'.repeat(500_000)}`);
    const ref = await land(nextRun(), values);
    const gone = { failure: { code: 'dataset_gone', redo: 'extract' } };
    const reader = nextRun();
    const reads = async (): Promise<unknown> =>
      flow({ from: datasetSource(ref, { schema }), steps: [parse(json), transform(() => ({ n: 1 }))], into, sink }).run(
        contextOf({ runKey: reader }),
      );
    await expect(readDataset(sink.pool, ref, { schema: 'n/2' }).next()).rejects.toMatchObject(gone);
    await expect(readDataset(sink.pool, { ...ref, sha256: 'ab' }, { schema }).next()).rejects.toMatchObject(gone);
    await sink.pool.query(
      `update mendflow.dataset_part set body = set_byte(body, 100, (get_byte(body, 100) + 1) % 256) where dataset_id = $1 and at = 2`,
      [ref.dataset],
    );
    await expect(reads()).rejects.toMatchObject(gone);
    // Whole, of the same length, and not what was written: only the hash tells.
    const other = [4, 5].map((n) => `${JSON.stringify(`${n}${'y'.repeat(500_000)}`)}\n`).join('');
    const { rowCount } = await sink.pool.query(
      'update mendflow.dataset_part set body = $2 where dataset_id = $1 and at = 2 and bytes = $3',
      [ref.dataset, gzipSync(other), Buffer.byteLength(other)],
    );
    expect(rowCount).toBe(1);
    await expect(reads()).rejects.toMatchObject(gone);
    await sink.pool.query('delete from mendflow.dataset_part where dataset_id = $1 and at = 2', [ref.dataset]);
    await expect(reads()).rejects.toMatchObject(gone);
  });

  it('keeps its source for the same bytes, so a letter stays one letter over generations', async () => {
    const runKey = nextRun();
    const round = async (generation: number, records: readonly unknown[]) => {
      await sink.pool.query('update mendflow.run set generation = $2 where key = $1', [runKey, generation]);
      const ctx = { runKey, generation };
      const landed = await landDataset(
        contextOf({ ...ctx, stage: 'extract' }),
        { schema, asOf: new Date(), sink },
        async ({ put }) => {
          for (const record of records) await put(record);
          return {};
        },
      );
      const end = await flow({
        from: datasetSource(landed, { schema }),
        steps: [parse(json)],
        into,
        sink,
      }).run(contextOf({ ...ctx, stage: 'load' }));
      expect(end).toMatchObject({ done: true, out: { read: 3 } });
      return await balance(sink.pool, runKey);
    };
    const letters = async () =>
      (
        await sink.pool.query<{ state: string; generation: number }>(
          'select state, generation from mendflow.dead_letter where run_key = $1 order by generation',
          [runKey],
        )
      ).rows;
    await round(1, [{ n: 1 }, { n: 'bad' }, { n: 3 }]);
    expect(await round(2, [{ n: 1 }, { n: 'bad' }, { n: 3 }])).toMatchObject({ balanced: true, quarantined: 1 });
    expect(await letters()).toEqual([{ state: 'open', generation: 2 }]);
    expect(await round(3, [{ n: 1 }, { n: 2 }, { n: 3 }])).toMatchObject({ balanced: true, loaded: 3, openLetters: 0 });
    expect(await letters()).toEqual([{ state: 'superseded', generation: 2 }]);
  });
});
