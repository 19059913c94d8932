// What is promised here: each kind of thing that happens to a log, by itself, and the sentence that the run says about it.
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ingestFile } from '../../src/activities/log-ingest.ts';
import { listFiles } from '../../src/connectors/files.ts';
import { flow, flowToDataset, lines, parse, table } from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { lossesSince } from '../../src/store/night.ts';
import { addNote, notesOf } from '../../src/store/notes.ts';
import { contextOf } from '../flow/memory.ts';
import { eachLife, type Life, type TestSink } from './life-of-files.ts';

let sink: TestSink;
let life: Life;
eachLife('covered', (one, its) => {
  [sink, life] = [one, its];
});

const rows = async (): Promise<number> =>
  (
    await sink.pool.query<{ n: number }>(
      'select count(*)::int as n from log_entries e join mendflow.source s on s.id = e.source_id where s.pipeline = $1',
      [life.pipeline],
    )
  ).rows[0]!.n;

const stateOf = async (key: string): Promise<unknown> =>
  (await sink.pool.query('select state, health, closed from mendflow.run where key = $1', [key])).rows[0];

/** A run of one file, as with `--set path=app.log`: what it loaded, and what it says. */
async function alone(name: string, date: string, generation = 1): Promise<{ loaded: number; notes: string[] }> {
  const [file] = await listFiles(life.path(name));
  if (generation > 1)
    await sink.pool.query(
      `update mendflow.run set generation = $2, state = 'running', closed_at = null where key = $1`,
      [`${life.pipeline}/${date}`, generation],
    );
  const ctx = contextOf({
    pipeline: life.pipeline,
    runKey: `${life.pipeline}/${date}`,
    stage: `ingest[${name}]`,
    dataDate: date,
    generation,
  });
  const input = { file: file!, format: 'plain', path: life.path(name), sealed: true } as const;
  const end = await ingestFile(sink, ctx, input);
  expect(end.done).toBe(true);
  expect(await closeRun(sink.pool, ctx.runKey)).toMatchObject({ balanced: true });
  return { loaded: end.done ? end.out.loaded : 0, notes: await notesOf(sink.pool, ctx.runKey) };
}

describe('a log that was rotated, where the run reads one file', () => {
  it.each([
    ['by day', (from: string) => renameSync(from, from.replace('app.log', 'app.2026-11-21.log'))],
    ['with a number before the suffix', (from: string) => renameSync(from, from.replace('app.log', 'app1.log'))],
    [
      'compressed',
      (from: string) => {
        writeFileSync(from.replace('app.log', 'app-2026-11-21-1.log.gz'), gzipSync(readFileSync(from)));
        unlinkSync(from);
      },
    ],
    [
      'into a folder beside it',
      (from: string) => {
        mkdirSync(join(life.folder, 'archive'));
        renameSync(from, join(life.folder, 'archive', 'old'));
      },
    ],
  ])('%s is found by its content, and what was written before it was rotated is loaded too', async (_, rotate) => {
    life.append('app.log', 12);
    expect(await alone('app.log', '2026-11-20')).toMatchObject({ loaded: 12, notes: [] });
    life.append('app.log', 3);
    rotate(life.path('app.log'));
    writeFileSync(life.path('app.log'), life.lines(1));
    const { loaded, notes } = await alone('app.log', '2026-11-21');
    expect(loaded).toBe(4);
    expect(notes).toContainEqual(expect.stringMatching(/^app\.log begins anew: .* is in \S+ now\.$/));
    expect(await alone('app.log', '2026-11-22')).toMatchObject({ loaded: 0 });
  });

  it('and is nowhere any more asks', async () => {
    life.append('app.log', 12);
    await alone('app.log', '2026-11-20');
    rmSync(life.path('app.log'));
    life.append('app.log', 2);
    await expect(alone('app.log', '2026-11-21')).rejects.toMatchObject({ failure: { code: 'source_shrunk' } });
  });
});

describe('a file that was loaded before', () => {
  it('says by which run, on another date', async () => {
    life.append('app.log', 5);
    await alone('app.log', '2026-11-20');
    const { loaded, notes } = await alone('app.log', '2026-11-21');
    expect(loaded).toBe(0);
    expect(notes).toEqual([
      `app.log was loaded before by run ${life.pipeline}/2026-11-20, and nothing in it is new: nothing was read. To load it again for this run, start it again with --force.`,
    ]);
  });

  it('names the run that loaded it, and none that only found it there', async () => {
    life.append('app.log', 5);
    await alone('app.log', '2026-11-20');
    await alone('app.log', '2026-11-19');
    // By --force it reads all of it, and each row is there.
    expect(await alone('app.log', '2026-11-19', 2)).toMatchObject({ loaded: 0 });
    expect((await alone('app.log', '2026-11-21')).notes).toEqual([
      expect.stringContaining(
        `app.log was loaded before by run ${life.pipeline}/2026-11-20, and nothing in it is new:`,
      ),
    ]);
  });

  it('is loaded into another table of the same pipeline, and there once', async () => {
    const path = life.path('items');
    writeFileSync(path, 'a\nb\n');
    for (const name of ['one', 'other'])
      await sink.pool.query(
        `create table ${name} (source_id bigint, "offset" bigint, v text, primary key (source_id, "offset"))`,
      );
    const load = async (into: string, dataDate: string): Promise<unknown> => {
      const ctx = contextOf({ pipeline: life.pipeline, runKey: `${life.pipeline}/${dataDate}/${into}`, dataDate });
      const steps = [parse((text) => ({ v: text }))];
      return await flow({ from: lines(path), steps, into: table(into, { v: 'text' }), sink }).run(ctx);
    };
    for (const into of ['one', 'other']) expect(await load(into, '2026-11-20')).toMatchObject({ out: { loaded: 2 } });
    appendFileSync(path, 'c\n');
    for (const into of ['one', 'other']) expect(await load(into, '2026-11-21')).toMatchObject({ out: { loaded: 1 } });
  });

  it('is read again by a run with --force that had read nothing of it', async () => {
    life.append('app.log', 9);
    await life.work(await life.begin());
    const second = await life.begin();
    await life.work(second);
    await life.again(second);
    await life.work(second);
    expect(second.state).toBe('done');
    const { rows: bins } = await sink.pool.query(
      'select sum(duplicate)::int as duplicate, sum(loaded)::int as loaded from mendflow.chunk where run_key = $1 and generation = 2',
      [second.key],
    );
    expect(bins).toEqual([{ duplicate: 9, loaded: 0 }]);
    expect(await notesOf(sink.pool, second.key)).toEqual([
      expect.stringMatching(
        new RegExp(
          `^app\\.log: of its bytes .* are read again, \\d+ were loaded before by run ${life.runs[0]!.key}\\.`,
        ),
      ),
    ]);
  });

  it.each(['with a date in the key of its table', 'through a dataset'])(
    'is not loaded a second time for another date by --force without a word, %s',
    async (way) => {
      const path = life.path('days');
      writeFileSync(path, 'a\nb\n');
      await sink.pool.query(
        'drop table if exists days; create table days (v text, day date, data_date date, generation int, primary key (v, day))',
      );
      const into = table(
        'days',
        { v: 'text', day: 'date', data_date: 'date', generation: 'integer' },
        { key: ['v', 'day'] },
      );
      const load = async (
        dataDate: string,
        more: { generation?: number; decided?: boolean } = {},
      ): Promise<unknown> => {
        const ctx = contextOf({ pipeline: life.pipeline, runKey: `${life.pipeline}/${dataDate}`, dataDate, ...more });
        const steps = [parse((text: string) => ({ v: text, day: dataDate }))] as const;
        const from = lines(path);
        if (way === 'through a dataset')
          return await flowToDataset({ from, steps, into: { schema: 'v/1' }, sink }).run(ctx);
        return await flow({ from, steps, into, sink }).run(ctx);
      };
      const passed = async (run: string): Promise<number> =>
        (
          await sink.pool.query<{ n: number }>(
            'select coalesce(sum(loaded + passed), 0)::int as n from mendflow.chunk where run_key = $1',
            [`${life.pipeline}/${run}`],
          )
        ).rows[0]!.n;
      await load('2026-11-20');
      await load('2026-11-20', { generation: 2 });
      await load('2026-11-21');
      await expect(load('2026-11-21', { generation: 2 })).rejects.toMatchObject({
        failure: {
          code: 'rows_twice',
          text: expect.stringMatching(
            new RegExp(`^Run ${life.pipeline}/2026-11-20 has loaded bytes 0 to 4 .* would add 2 rows`),
          ) as string,
        },
      });
      expect(await passed('2026-11-21')).toBe(0);
      await load('2026-11-21', { generation: 2, decided: true });
      expect(await passed('2026-11-21')).toBe(2);
    },
  );
});

describe('a file that is written to while it is read', () => {
  it.each([
    ['all of it, with the same length', () => life.rewrite('app.log', 0, 60, 60)],
    ['in the middle', () => life.rewrite('app.log', 20, 21, 3)],
    ['its first line', () => life.rewrite('app.log', 0, 1, 1)],
    ['shorter', () => life.rewrite('app.log', 0, 60, 4)],
  ])('%s: the run asks, nothing of the mix stays, and a retry reads it as it is', async (_, change) => {
    life.append('app.log', 60);
    const run = await life.begin();
    await life.work(run, {}, change);
    expect(run).toMatchObject({ state: 'asking', asked: ['source_rewritten'] });
    expect(await rows()).toBe(0);
    await life.work(run);
    expect(run.state).toBe('done');
    expect(await life.violations(true).then((found) => found.filter((one) => !one.includes('asking')))).toEqual([]);
  });

  it('at its end: what was planned is loaded, and the rest by the next run', async () => {
    life.append('app.log', 30);
    const run = await life.begin();
    await life.work(run, {}, () => life.append('app.log', 5));
    expect(run.state).toBe('done');
    await life.work(await life.begin());
    expect(await life.violations(true)).toEqual([]);
  });
});

describe('what was planned and not committed', () => {
  it('is loaded by the next run, once, if the file was renamed and the first one was aborted', async () => {
    life.append('app.log', 40);
    const first = await life.begin();
    await life.work(first, { afterChunks: 2 });
    life.rename('app.log', 'elsewhere.log');
    await life.abort(first);
    const second = await life.begin();
    await life.work(second);
    expect(second.state).toBe('done');
    expect(await life.violations(true)).toEqual([]);
  });

  it('is left to the run that planned it while that can go on', async () => {
    life.append('app.log', 40);
    const first = await life.begin();
    await life.work(first, { afterChunks: 2 });
    const second = await life.begin();
    await life.work(second);
    const left = expect.stringMatching(/, which was running at \S+Z: .* is left to it\.$/) as string;
    const said = await notesOf(sink.pool, second.key);
    expect(said[0]).toEqual(left);
    expect(said).toHaveLength(2);
    expect(said[1]).toMatch(/^app\.log was loaded before by run \S+ as far as it was loaded then; nothing was read\.$/);
    await life.work(first);
    expect(await life.violations(true)).toEqual([]);
    expect(await notesOf(sink.pool, second.key)).toEqual(said);
    expect(await stateOf(second.key)).toMatchObject({ state: 'done', health: 'healthy' });
  });

  it('and was left to a run is known also where the name of the file fills the note that says so', async () => {
    const name = '\u0001'.repeat(250);
    life.append(name, 40);
    const first = await life.begin();
    await life.work(first, { afterChunks: 2 });
    const second = await life.begin();
    await life.work(second);
    expect((await notesOf(sink.pool, second.key))[0]).toHaveLength(1_000);
    await life.abort(first);
    expect(await stateOf(second.key)).toMatchObject({ state: 'degraded' });
    await life.again(first);
    await life.work(first);
    expect(await stateOf(second.key)).toMatchObject({ state: 'done', health: 'healthy' });
    expect(await life.violations(true)).toEqual([]);
  });

  it('and was left to a run with an input of 20,000 characters lets both close all the same', async () => {
    life.append('app.log', 40);
    const first = await life.begin();
    const long = Array.from({ length: 20_000 }, (_none, n) =>
      String.fromCodePoint(0x4e00 + ((n * 7_919) % 20_000)),
    ).join('');
    await sink.pool.query('update mendflow.run set input = jsonb_build_object($2::text, $3::text) where key = $1', [
      first.key,
      'path',
      long,
    ]);
    await life.work(first, { afterChunks: 2 });
    const second = await life.begin();
    await life.work(second);
    await life.abort(first);
    expect(await stateOf(second.key)).toMatchObject({ state: 'degraded' });
    // As of a log that was renamed, in folders with long names of such letters.
    const place = { runKey: (await life.begin()).key, generation: 1, stage: 'ingest' };
    await addNote(sink.pool, place, long);
    expect(await notesOf(sink.pool, place.runKey)).toEqual([long.slice(0, 1_000)]);
  });

  it.each(['while it is open', 'after its end'])(
    'and was left to a run that is aborted is told to the run that left it, %s, until somebody loads it',
    async (when) => {
      const begun = new Date();
      life.append('app.log', 40);
      const first = await life.begin();
      await sink.pool.query(`update mendflow.run set input = '{"path": "/var/my logs"}' where key = $1`, [first.key]);
      await life.work(first, { afterChunks: 2 });
      const second = await life.begin();
      if (when === 'after its end') await life.work(second);
      else await life.work(second, { at: 'run.beforeClose' });
      await life.abort(first);
      if (when === 'while it is open') await life.work(second);
      const { rows: given } = await sink.pool.query<{ bytes: number }>(
        'select sum(upper(extent) - lower(extent))::int as bytes from mendflow.chunk where run_key = $1 and left_open',
        [first.key],
      );
      const told = expect.stringMatching(
        new RegExp(
          `app\\.log that this run left to run ${first.key}, ${given[0]!.bytes} are loaded by no run: it ended aborted at \\S+Z\\. ` +
            `To load them: mendflow start ${life.pipeline} --date ${first.date} --set 'path=/var/my logs'$`,
        ),
      ) as string;
      expect(await notesOf(sink.pool, second.key)).toContainEqual(told);
      expect(await stateOf(second.key)).toMatchObject({
        state: 'degraded',
        health: 'degraded',
        closed: { leftBytes: given[0]!.bytes },
      });
      // Given up by whoever aborted, not by the run that left them to it.
      expect(await lossesSince(sink.pool, begun)).toMatchObject({ runs: 1, first: [first.key] });
      await life.again(first);
      await life.work(first);
      expect(await stateOf(second.key)).toMatchObject({ state: 'done', health: 'healthy' });
      expect((await notesOf(sink.pool, second.key)).at(-1)).toBe(
        `What this run left to others is all loaded, since run ${first.key} ended.`,
      );
      expect(await life.violations(true)).toEqual([]);
    },
  );
});

it.each([
  ['plain', Buffer.alloc(0)],
  ['compressed', gzipSync(Buffer.alloc(0))],
])('a file that is empty, %s, is said to be empty', async (_how, bytes) => {
  writeFileSync(life.path('empty.log'), bytes);
  expect(await alone('empty.log', '2026-11-20')).toEqual({
    loaded: 0,
    notes: ['empty.log is empty, so nothing was read. If it is filled later, run again.'],
  });
});
