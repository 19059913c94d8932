// What is promised here: the lines of a file become rows, skips or letters, exactly once, whatever their bytes are.
import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSealer, flow, json, lines, parse, table, transform } from '../../src/flow/index.ts';
import type { Bins, FlowContext } from '../../src/flow/context.ts';
import { openPool } from '../../src/store/db.ts';
import { migratedDatabase } from '../support/database.ts';

let database: Awaited<ReturnType<typeof migratedDatabase>>;
let pool: Pool;
let folder: string;
const seal = createSealer([{ id: 'test', key: Buffer.alloc(32, 7) }]);
const target = table('items', { n: 'bigint', line_no: 'bigint', data_date: 'date' });

beforeAll(async () => {
  database = await migratedDatabase();
  pool = openPool({ url: database.url, applicationName: 'test' });
  await pool.query(
    'create table items (source_id bigint, "offset" bigint, n bigint, line_no bigint, data_date date, primary key (source_id, "offset"))',
  );
  folder = mkdtempSync(join(tmpdir(), 'mendflow-lines-'));
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
  if (folder) rmSync(folder, { recursive: true });
});

const contextOf = (dataDate: string): FlowContext => ({
  pipeline: 'items',
  runKey: `items/${dataDate}`,
  stage: 'load',
  dataDate,
  generation: 1,
  signal: new AbortController().signal,
  onChunk: () => undefined,
  attemptAt: Date.now(),
  holder: 'test',
  segmentMs: 20_000,
  quarantineShareMax: 1,
  losses: 0,
});

const load = async (path: string, dataDate: string, recordsMax = 20_000): Promise<Bins> => {
  const end = await flow({
    from: lines(path),
    steps: [parse(json), transform((value: { n: number }) => ({ n: value.n }))],
    into: target,
    sink: { pool, seal },
    recordsMax,
  }).run(contextOf(dataDate));
  if (!end.done) throw new Error(`not done: ${end.at}`);
  return end.out;
};
const rows = async <T>(sql: string, values: unknown[] = []): Promise<T[]> =>
  (await pool.query(sql, values)).rows as T[];

describe('lines of a file', () => {
  it('become rows, skips and letters that name their line; what is appended is the next run', async () => {
    const file = join(folder, 'a.ndjson');
    writeFileSync(file, '\ufeff{"n":1}\r\n\n{"n":2}\nnot json\n{"n":4}\n');
    expect(await load(file, '2026-01-01')).toEqual({ read: 5, loaded: 3, duplicate: 0, quarantined: 1, skipped: 1 });
    expect(await rows('select n::int, line_no::int from items order by 1')).toEqual([
      { n: 1, line_no: 1 },
      { n: 2, line_no: 3 },
      { n: 4, line_no: 5 },
    ]);
    expect(await rows('select line_no::int as line, code from mendflow.dead_letter')).toEqual([
      { line: 4, code: 'record_invalid' },
    ]);
    appendFileSync(file, '{"n":6}\n');
    expect(await load(file, '2026-01-02')).toEqual({ read: 1, loaded: 1, duplicate: 0, quarantined: 0, skipped: 0 });
    expect(await rows("select line_no::int from items where data_date = '2026-01-02'")).toEqual([{ line_no: 6 }]);
    // The same run again finds its own plan and its own ledger.
    expect(await load(file, '2026-01-01')).toEqual({ read: 5, loaded: 3, duplicate: 0, quarantined: 1, skipped: 1 });
    expect(await rows('select count(*)::int as count from items')).toEqual([{ count: 4 }]);
  });

  it('are letters where they are not UTF-8, hold a NUL or are too long, and the file is known again afterwards', async () => {
    const file = join(folder, 'b.ndjson');
    const long = Buffer.concat([Buffer.from('{"n":"'), Buffer.alloc(3 << 20, 0x61), Buffer.from('"}\n')]);
    writeFileSync(
      file,
      Buffer.concat([
        Buffer.from('{"n":1}\n'),
        Buffer.from([0xff, 0x0a]),
        Buffer.from('{"n":\0}\n'),
        long,
        Buffer.from('{"n":5}'),
      ]),
    );
    expect(await load(file, '2026-02-01')).toMatchObject({ read: 5, loaded: 2, quarantined: 3 });
    const letters = await rows<{ line: number; code: string; sha: string }>(
      `select line_no::int as line, code, encode(raw_sha256, 'hex') as sha from mendflow.dead_letter where run_key = 'items/2026-02-01' order by 1`,
    );
    expect(letters.map(({ line, code }) => [line, code])).toEqual([
      [2, 'record_invalid'],
      [3, 'record_invalid'],
      [4, 'record_too_long'],
    ]);
    expect(letters[2]!.sha).toBe(createHash('sha256').update(long.subarray(0, -1)).digest('hex'));
    const hashes = await rows<{ sha: string }>(
      `select encode(raw_sha256, 'hex') as sha from mendflow.chunk where run_key = 'items/2026-02-01'`,
    );
    expect(hashes).toHaveLength(1);
    // Known again only if the hash of the range is over all of its bytes, those of the long line too.
    appendFileSync(file, '\n{"n":6}\n');
    expect(await load(file, '2026-02-02')).toMatchObject({ loaded: 1 });
  });

  it('are the same whatever the size of a chunk, from a gzipped file too', async () => {
    const file = join(folder, 'c.ndjson.gz');
    writeFileSync(file, gzipSync(Array.from({ length: 1000 }, (_, n) => `{"n":${n}}\n`).join('')));
    expect(await load(file, '2026-03-01', 37)).toMatchObject({ read: 1000, loaded: 1000 });
    expect(
      await rows("select count(*)::int, sum(n)::int, max(line_no)::int from items where data_date = '2026-03-01'"),
    ).toEqual([{ count: 1000, sum: 499_500, max: 1000 }]);
  });

  it('are refused for a folder and for what is not there', async () => {
    await expect(load(folder, '2026-04-01')).rejects.toThrow('is a folder, and lines() reads one file');
    await expect(load(join(folder, 'none'), '2026-04-01')).rejects.toThrow('does not exist');
  });
});
