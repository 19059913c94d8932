// What is promised here: a run that adds up is green only if its records are: over all its sources at once, however small each is, and however many work side by side.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { datasetSource, flow, type FlowContext, flowToDataset, json, parse, table } from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, memorySource, testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
  await sink.pool.query(
    'create table entries (source_id bigint, "offset" bigint, n int, primary key (source_id, "offset"))',
  );
});
afterAll(() => sink.end());

const into = table('entries', { n: 'integer' });
/** `b` is a bad line, `g` a good one, `-` one that is left out. */
const steps = [
  parse((text: string) => {
    if (text === 'b') throw new TypeError('no such line');
    return { n: 1 };
  }),
];
const contentOf = (shape: string): string =>
  shape
    .split('')
    .map((line) => `${line}\n`)
    .join('');

let runs = 0;
let runKey = '';
beforeEach(() => {
  runKey = `test/judge/${++runs}`;
});
const load = async (name: string, shape: string, more: Partial<FlowContext> = {}) =>
  await flow({ from: memorySource(contentOf(shape), name), steps, into, sink, recordsMax: 500 }).run(
    contextOf({ runKey, stage: `ingest[${name}]`, quarantineShareMax: 0.05, ...more }),
  );
const close = (more: Parameters<typeof closeRun>[2] = {}) =>
  closeRun(sink.pool, runKey, { limits: { ingest: 0.05 }, ...more });
const said = async (): Promise<string> => (await close()).notGreen.join(' ');

describe('a run', () => {
  it('of one file of which every line is bad is not green, at any size', async () => {
    for (const size of [1, 3, 90, 199]) {
      runKey = `test/judge/all-bad-${size}`;
      await load(`all-bad-${size}.log`, 'b'.repeat(size));
      expect(await said()).toContain(`${size} of ${size} records (100.0 %, allowed are 5.0 %) of ingest are bad.`);
      expect(await close()).toMatchObject({ state: 'open', balanced: true });
    }
  });

  it('of twelve small files that are bad is not green, whether they come one by one or side by side', async () => {
    for (const sideBySide of [false, true]) {
      runKey = `test/judge/twelve-${sideBySide}`;
      const names = Array.from({ length: 12 }, (_, n) => `${sideBySide}-${n}.log`);
      if (sideBySide) await Promise.all(names.map((name) => load(name, 'b'.repeat(90))));
      else for (const name of names) await load(name, 'b'.repeat(90));
      expect(await said()).toContain('1,080 of 1,080 records');
      expect(await said()).toContain('Of 12 sources every record is bad: ');
    }
  });

  it('is judged over all its files: many with a few bad lines each are together too many', async () => {
    for (let n = 0; n < 8; n++) await load(`few-${n}.log`, `${'g'.repeat(45)}${'b'.repeat(5)}`);
    expect(await said()).toBe('40 of 400 records (10.0 %, allowed are 5.0 %) of ingest are bad.');
  });

  it('of good files with one among them of which every line is bad names that one', async () => {
    await load('good.log', 'g'.repeat(2_000));
    await load('other-format.log', 'bbb');
    expect(await said()).toBe('Of one source every record is bad: other-format.log.');
  });

  it('is green with a bad line at the end of a file of which others were loaded before', async () => {
    const before = runKey;
    await load('grows.log', 'g'.repeat(100));
    await close();
    runKey = `${before}-next`;
    const grown = memorySource(contentOf(`${'g'.repeat(100)}b`), 'grows.log');
    const from = {
      openRecords: async (...of: Parameters<typeof grown.openRecords>) => {
        const opened = await grown.openRecords(...of);
        return { ...opened, slice: { from: 200, to: 202, sealed: true } };
      },
    };
    await flow({ from, steps, into, sink }).run(contextOf({ runKey, stage: 'ingest[grows.log]' }));
    await load('good-beside.log', 'g'.repeat(50));
    expect(await close()).toMatchObject({ state: 'done', quarantined: 1 });
  });

  it.each([
    ['a third bad', 'ggb', 'done'],
    ['two thirds bad', 'gbb', 'open'],
    ['ten of twenty bad', `${'g'.repeat(10)}${'b'.repeat(10)}`, 'done'],
    ['eleven of twenty bad', `${'g'.repeat(9)}${'b'.repeat(11)}`, 'open'],
    ['ten of two hundred bad', `${'g'.repeat(190)}${'b'.repeat(10)}`, 'done'],
    ['eleven of two hundred bad', `${'g'.repeat(189)}${'b'.repeat(11)}`, 'open'],
    ['no bad line', 'ggg', 'done'],
    ['no line', '', 'done'],
  ])('of a small file is judged, too: %s is %s', async (_what, shape, state) => {
    await load(`${runKey}.log`, shape);
    expect(await close()).toMatchObject({ state });
  });

  it('that lost everything is not green even where every record may be bad', async () => {
    await load(`${runKey}.log`, 'bbb', { quarantineShareMax: 1 });
    for (const limits of [{ ingest: 1 }, {}])
      expect((await close({ limits })).notGreen).toEqual([
        'Every record that the run read is bad; nothing was loaded.',
      ]);
  });

  it('is judged by what its stages passed on, too', async () => {
    const made = flowToDataset({
      from: memorySource('{"n":1}\nno json\nno json\n', `${runKey}.ndjson`),
      steps: [parse(json)],
      into: { schema: 'n/1' },
      sink,
    });
    const end = await made.run(contextOf({ runKey, stage: 'check' }));
    if (!end.done) throw new Error('The flow did not end.');
    await flow({ from: datasetSource(end.out, { schema: 'n/1' }), steps: [parse(json)], into, sink }).run(
      contextOf({ runKey, stage: 'ingest' }),
    );
    const closed = await close({ limits: { check: 0.05, ingest: 0.05 } });
    expect(closed.notGreen).toEqual(['2 of 3 records (66.7 %, allowed are 5.0 %) of check are bad.']);
  });

  it('is closed as degraded, with the number lost, where somebody accepts that', async () => {
    await load(`${runKey}.log`, 'gbbb');
    expect(await said()).not.toBe('');
    const accepted = await close({ acceptLoss: { actor: 'ada', reason: 'test data' } });
    expect(accepted).toMatchObject({ state: 'degraded', lost: 3, quarantined: 3, openLetters: 3 });
    const { rows } = await sink.pool.query('select state, health from mendflow.run where key = $1', [runKey]);
    expect(rows).toEqual([{ state: 'degraded', health: 'degraded' }]);
    expect(await close()).toMatchObject({ state: 'degraded' });
  });
});

describe('code that fails on every record', () => {
  const typo = [
    parse((text: string) => {
      if (text === 'b') throw new Error('no such line');
      return { n: (text as unknown as { size: { (): number } }).size() };
    }),
  ];
  const run = (shape: string, more: Partial<FlowContext> = {}) =>
    flow({ from: memorySource(contentOf(shape)), steps: typo, into, sink, recordsMax: 500 }).run(
      contextOf({ runKey, stage: 'ingest', quarantineShareMax: 0.05, ...more }),
    );
  const place =
    /threw an error at test\/store\/judge\.test\.ts:\d+:\d+ for its bad records, so look at the code there first/;

  it('is told with its place instead of the records, and no loss is to be accepted of it', async () => {
    await expect(run(`${'g'.repeat(290)}${'b'.repeat(10)}`)).rejects.toMatchObject({
      failure: {
        code: 'code_bug',
        text: expect.stringMatching(
          /^300 of 300 records are bad, nearly all by an error that the code of ingest threw at test\/store\/judge\.test\.ts:\d+:\d+: it is the code there, not the records\./,
        ) as string,
      },
    });
  });

  it('is looked for first where few records were read, or most of the bad ones failed there', async () => {
    await run('ggg');
    expect(await said()).toMatch(place);
    expect(await said()).toContain('3 of 3 records');
    const some = `${'-'.repeat(600)}${'g'.repeat(400)}`;
    const steps = [parse((text: string) => (text === '-' ? { n: 1 } : { n: (text as unknown as Date).getTime() }))];
    runKey = `${runKey}-some`;
    const ctx = contextOf({ runKey, stage: 'ingest', quarantineShareMax: 0.05 });
    await expect(flow({ from: memorySource(contentOf(some)), steps, into, sink }).run(ctx)).rejects.toMatchObject({
      failure: { code: 'quarantine_limit', text: expect.stringMatching(place) as string },
    });
  });

  it('is not what a step means that refuses', async () => {
    await expect(load(`${runKey}.log`, 'b'.repeat(300))).rejects.toMatchObject({
      failure: { code: 'quarantine_limit', text: expect.not.stringMatching(/code/) as string },
    });
  });
});

describe('a loss that was accepted in a stage', () => {
  const acceptLoss = { actor: 'ada', reason: 'agreed', of: 'quarantine_limit' };

  it('is told in bytes where nobody knows how many records they hold, closes the samples, and is not asked about again', async () => {
    const name = `${runKey}.log`;
    await expect(load(name, 'b'.repeat(300))).rejects.toMatchObject({ failure: { code: 'quarantine_limit' } });
    expect(await load(name, 'b'.repeat(300), { acceptLoss })).toMatchObject({ done: true });
    const { rows } = await sink.pool.query(
      'select state, reason, count(*)::int as letters from mendflow.dead_letter where run_key = $1 group by 1, 2',
      [runKey],
    );
    expect(rows).toEqual([{ state: 'discarded', reason: 'loss accepted by ada, from offset 0: agreed', letters: 20 }]);
    expect(await close()).toMatchObject({ state: 'degraded', uncountedBytes: 600, lost: 0, openLetters: 0 });
  });

  it('is told in records where the source is a dataset', async () => {
    const content = Array.from({ length: 248 }, (_, n) => `{"n":${n}}\n`).join('');
    const from = memorySource(content, `${runKey}.ndjson`);
    const made = flowToDataset({ from, steps: [parse(json)], into: { schema: 'n/1' }, sink });
    const end = await made.run(contextOf({ runKey, stage: 'check' }));
    if (!end.done) throw new Error('The flow did not end.');
    const one = { from: datasetSource(end.out, { schema: 'n/1' }), steps: [parse(json)], into, sink, recordsMax: 100 };
    await flow({ ...one, lanes: 1 }).run(contextOf({ runKey, stage: 'ingest', segmentMs: 0 }));
    await flow(one).run(contextOf({ runKey, stage: 'ingest', acceptLoss: { actor: 'ada', reason: 'late' } }));
    expect(await close()).toMatchObject({
      state: 'degraded',
      balanced: true,
      read: 248,
      loaded: 100,
      skipped: 148,
      lost: 148,
      uncountedBytes: 0,
    });
  });

  it('makes a run degraded also where nothing of it could be counted', async () => {
    await load(`${runKey}.log`, 'ggg');
    expect(await close({ lossAccepted: true })).toMatchObject({ state: 'degraded', lost: 0 });
  });
});
