// What is promised here: copies of a log and altered logs are told apart: a file is the home of one source, and what was loaded is not loaded again where its log was altered.
import { renameSync, utimesSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { around } from '../../src/connectors/folder.ts';
import { eachLife, type Life, type Run, type TestSink } from './life-of-files.ts';

let sink: TestSink;
let life: Life;
eachLife('copies', (one, its) => {
  [sink, life] = [one, its];
});

const run = async (): Promise<Run> => {
  const begun = await life.begin();
  await life.work(begun);
  return begun;
};
const counted = async (): Promise<number> =>
  (
    await sink.pool.query<{ n: number }>(
      `select (select count(*) from log_entries e where e.source_id = any (s.ids))::int + (select count(*) from mendflow.dead_letter l
         where l.source_id = any (s.ids) and l.state = 'open')::int as n
       from (select array_agg(id) as ids from mendflow.source where pipeline = $1) s`,
      [life.pipeline],
    )
  ).rows[0]!.n;

describe('a log that was altered and then moved asks, and nothing of it is loaded', () => {
  it.each<[string, () => Promise<void> | void]>([
    [
      'at its beginning, and renamed',
      () => {
        life.rewrite('app.log', 0, 19, 1);
        life.rename('app.log', 'old-x');
      },
    ],
    [
      'to shorter than a chunk, and renamed to another day',
      () => {
        life.truncate('app.log', 2);
        life.rename('app.log', 'web-2026-11-21.log');
      },
    ],
    [
      'after a run had found it under its new name',
      async () => {
        life.rename('app.log', 'old-x');
        expect((await run()).state).toBe('done');
        life.replace('old-x', 22);
      },
    ],
    [
      'after a run had seen that its name began anew, and before one read it',
      async () => {
        life.copyTruncate('app.log', 'zz-old');
        const begun = await life.begin();
        await life.work(begun, { at: 'flow.afterPlan', nth: 1 });
        life.rewrite('zz-old', 0, 5, 8);
      },
    ],
  ])('%s', async (_, what) => {
    life.append('app.log', 23);
    expect((await run()).state).toBe('done');
    await what();
    const asking = await run();
    expect(asking.state, life.log.join('\n')).toBe('asking');
    expect(asking.asked.every((code) => ['source_rewritten', 'source_shrunk'].includes(code))).toBe(true);
    expect(await counted()).toBe(23);
    expect(await life.violations(false)).toEqual([]);
  });

  it('and does not where a new file only has its old number', async () => {
    life.append('app.log', 23);
    await run();
    life.copyTruncate('app.log', 'app.log.1');
    life.append('app.log', 4);
    expect((await run()).state).toBe('done');
    life.rename('app.log', 'other.log');
    life.append('app.log', 3);
    expect((await run()).state).toBe('done');
    expect(await counted()).toBe(30);
    expect(await life.violations(true)).toEqual([]);
  });
});

describe('a copy', () => {
  it('that was altered asks, though the original holds what was loaded of it', async () => {
    life.append('app.log', 13);
    life.copy('app.log', 'copy.log');
    await run();
    life.rewrite('copy.log', 8, 10, 18);
    const asking = await run();
    expect(asking).toMatchObject({ state: 'asking', asked: ['source_rewritten'] });
    expect(await counted()).toBe(26);
  });

  it('of which the original was altered leaves the question to the original', async () => {
    life.append('app.log', 13);
    await run();
    life.copy('app.log', 'zz.log');
    await run();
    life.rewrite('app.log', 8, 10, 18);
    expect(await run()).toMatchObject({ state: 'asking', asked: ['source_rewritten'] });
    expect(await counted()).toBe(26);
  });

  it.each<[string, () => void]>([
    ['the original is renamed', () => life.rename('app.log', 'otherc.log')],
    [
      'both are rotated',
      () => {
        life.copyTruncate('app.log', 'app.log.1');
        life.copyTruncate('a-copy.log', 'a-copy.log.1');
      },
    ],
    [
      'they change names',
      () => {
        life.rename('app.log', 'x.log');
        life.rename('a-copy.log', 'app.log');
        life.rename('x.log', 'a-copy.log');
      },
    ],
    [
      'both are compressed, and the original has grown',
      () => {
        life.append('app.log', 5);
        life.compress('app.log');
        life.compress('a-copy.log');
      },
    ],
  ])('and the original are loaded once each, also where %s', async (_, what) => {
    life.append('app.log', 2);
    for (const early of [true, false]) {
      if (early) life.copy('app.log', 'a-copy.log');
      expect((await run()).state).toBe('done');
      if (!early) what();
    }
    expect((await run()).state).toBe('done');
    expect((await run()).state).toBe('done');
    expect(await life.violations(true), life.log.join('\n')).toEqual([]);
  });

  it('made between two runs, compressed with a grown original, is not loaded a third time', async () => {
    life.append('tiny.log', 2);
    await run();
    life.copy('tiny.log', 'copy-1.log');
    life.append('tiny.log', 19);
    life.compress('tiny.log');
    life.compress('copy-1.log');
    expect((await run()).state).toBe('done');
    expect(await life.violations(true)).toEqual([]);
  });
});

it('a run that goes on adds up, though another one has read its bytes again and has its letters now', async () => {
  life.append('app.log', 4);
  await run();
  // It had read nothing of the file, so with --force it reads all of it.
  const whole = await run();
  // The 17th line is bad; the run is killed after the chunk that has it.
  life.append('app.log', 30);
  const open = await life.begin();
  await life.work(open, { afterChunks: 4 });
  await life.again(whole);
  await life.work(whole);
  expect(whole.state).toBe('done');
  await life.work(open);
  expect(open, life.log.join('\n')).toMatchObject({ state: 'done' });
  expect(await counted()).toBe(34);
});

it('a folder is listed once while nothing in it changes, and again when a name does', async () => {
  life.append('app.log', 1);
  const folder = Buffer.from(life.folder);
  const names = async (): Promise<string[]> =>
    (await around(folder)).files.map(({ path }) => path.subarray(folder.length + 1).toString());
  expect(await around(folder)).not.toBe(await around(folder));
  utimesSync(life.folder, 1_000, 1_000);
  const listed = await around(folder);
  life.append('app.log', 1);
  expect(await around(folder)).toBe(listed);
  renameSync(life.path('app.log'), life.path('b.log'));
  expect(await names()).toEqual(['b.log']);
  expect((await around(folder)).sameAs(listed.files[0]!)).toHaveLength(1);
});
