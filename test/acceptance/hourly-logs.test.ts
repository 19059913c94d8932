// What is promised here: a day of hourly logs in any order, with a worker that is killed five times, is loaded once and whole.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { absent, data, openPlace, type Place } from './command-line.ts';

afterAll(() => {
  if (absent) console.warn(`SKIPPED: no real logs at ${data}; hourly logs with a crash were not tried.`);
});

/** Where five workers die: before, in and after a commit, in mid-COPY, and while a run is closed. */
const deaths = [
  'chunk.beforeCommit:kill@2',
  'chunk.afterCommit:kill@3',
  'chunk.midCopy:kill@1',
  'run.close:kill@2',
  'chunk.inCommit:kill@2',
];
const PER_DEATH = 4;

function shuffled<T>(values: readonly T[], seed: number): T[] {
  let state = seed | 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return values
    .map((value) => ({ value, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

async function untilDead(worker: WorkerProcess): Promise<void> {
  for (let tries = 0; tries < 1_200 && worker.isAlive(); tries++) await sleep(50);
  if (worker.isAlive()) throw new Error('The worker did not die within 60 s.');
}

describe.skipIf(absent)('the 23 hourly logs of kafka0, started one by one from the command line', () => {
  const folder = join(data, 'logs', 'kafka-broker', 'kafka0', 'logs');
  const seed = Date.now() & 0x7fffffff;
  let place: Place;
  let files: string[];
  beforeAll(async () => {
    place = await openPlace();
    files = shuffled(readdirSync(folder).sort(), seed).map((name) => join(folder, name));
    console.log(`Random order by seed ${seed}.`);
  }, 300_000);
  afterAll(() => place?.close());

  const start = (file: string, ...more: string[]) =>
    place.mendflow('start', 'log-ingest', '--date', '2016-12-19', ...more, '--set', `path=${file}`, 'format=log4j');
  const checksum = (): Promise<unknown[]> =>
    place.rows(
      `select count(*)::int as n, md5(string_agg(md5(row(l.*)::text), '' order by source_id, "offset")) as sum from log_entries l`,
    );

  it('end with 6,675 records, every level, 382 continuation lines and repeated lines, though the worker is killed 5 times', async () => {
    expect(files).toHaveLength(23);
    let begun = 0;
    let killed = 0;
    for (const [no, failpoints] of deaths.entries()) {
      const worker = await place.worker(`worker-${no}`, failpoints);
      const batch = files.slice(begun, (begun += PER_DEATH));
      const answers = await Promise.all(batch.map((file) => start(file)));
      for (const { code, err } of answers) expect({ code, err }).toMatchObject({ code: 0 });
      await untilDead(worker);
      killed++;
    }
    await place.worker('worker-last');
    for (const file of files.slice(begun)) expect((await start(file)).code).toBe(0);
    // Attaches to what is under way, and tells how it ended.
    for (const file of files) {
      const { code, err, out } = await start(file, '--wait');
      expect({ code, err, out }).toMatchObject({ code: 0 });
    }
    expect(killed).toBe(5);

    const levels = await place.rows<{ severity: string; n: number }>(
      'select severity, count(*)::int as n from log_entries group by 1',
    );
    expect(Object.fromEntries(levels.map(({ severity, n }) => [severity, n]))).toEqual({
      TRACE: 2_094,
      DEBUG: 1_064,
      INFO: 3_197,
      WARN: 315,
      ERROR: 5,
    });
    const text = files.map((file) => readFileSync(file, 'utf8'));
    const records = text.flatMap((one) => one.split(/\n(?=\[\d{4}-)/).filter((record) => record !== ''));
    const distinct = new Set(records.map((record) => record.replace(/\n$/, ''))).size;
    const [found] = await place.rows<{ rows: number; different: number; more: number; twice: number }>(
      `select count(*)::int as rows, count(distinct (ts, severity, module, message))::int as different,
         sum(length(message) - length(replace(message, E'\\n', '')) + case when coalesce(module, '') = '' then 1 else 0 end)::int as more,
         (count(*) - count(distinct (source_id, "offset")))::int as twice from log_entries`,
    );
    expect(found).toEqual({ rows: 6_675, different: distinct, more: 382, twice: 0 });
    expect(records).toHaveLength(6_675);
    expect(distinct).toBeLessThan(6_675);
    expect(await place.rows('select count(*)::int as n from mendflow.dead_letter')).toEqual([{ n: 0 }]);
    expect(await place.rows('select state, count(*)::int as n from mendflow.run group by 1')).toEqual([
      { state: 'done', n: 23 },
    ]);
  });

  it('started again, all of them, change nothing', async () => {
    const before = await checksum();
    for (const file of files) {
      const { code, out } = await start(file, '--wait');
      expect(code).toBe(0);
      expect(out).toContain('is done already');
    }
    expect(await checksum()).toEqual(before);
  });
});
