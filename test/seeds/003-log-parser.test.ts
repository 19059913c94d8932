// What is promised here: document 003, item by item, with the figures it states, on a real database.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { withStage } from '../../src/engine/activity/context.ts';
import { sql } from '../../src/engine/worker.ts';
import { nonRetryableErrorTypes } from '../../src/model/failure.ts';
import { armFailpoints, failpoints } from '../../src/store/failpoint.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { listLetters, showLetter } from '../../src/store/letters.ts';
import { logIngest } from '../../src/workflows/log-ingest.ts';
import { contextOf } from '../flow/memory.ts';
import { logLine, type LogScene, openScene } from './log-file.ts';

let scene: LogScene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene?.close());
afterEach(() => armFailpoints(''));

const runOf = (path: string): string => `log-ingest/2026-11-20/${path.split('/').pop()!}`;
const stored = async (path: string): Promise<{ rows: number; offsets: number }> =>
  (
    await scene.rows<{ rows: number; offsets: number }>(
      'select count(*)::int as rows, count(distinct "offset")::int as offsets from log_entries_by_path where path = $1',
      [path],
    )
  )[0]!;
const lettersOf = async (path: string) => {
  const lines = await listLetters(scene.sink.pool, { runKey: runOf(path) });
  return await Promise.all(lines.map(async ({ id }) => (await showLetter(scene.sink.pool, id, scene.sink.seal))!));
};

describe('003-1 resilience and correctness', () => {
  it('a poison pill stalls nothing: one pass, no retry, the others are loaded', async () => {
    const path = scene.write('poison.log', [
      logLine(0),
      '\u0001 poison',
      ...Array.from({ length: 98 }, (_, index) => logLine(index)),
    ]);
    const { end } = await scene.attempt(path);
    expect(end).toMatchObject({ done: true, out: { read: 100, loaded: 99, quarantined: 1 } });
  });

  it('a failure after the insert and before the acknowledgement doubles nothing, where the naive loop does', async () => {
    const path = scene.write(
      'acknowledged.log',
      Array.from({ length: 1_000 }, (_, index) => logLine(index)),
    );
    armFailpoints('chunk.afterCommit:throw@2');
    await expect(scene.attempt(path, { recordsMax: 250 })).rejects.toThrow('chunk.afterCommit');
    armFailpoints('');
    const { end } = await scene.attempt(path, { recordsMax: 250 });
    expect(end).toMatchObject({ done: true, out: { read: 1_000, loaded: 1_000, duplicate: 0 } });
    expect(await stored(path)).toEqual({ rows: 1_000, offsets: 1_000 });
    expect(await closeRun(scene.sink.pool, runOf(path))).toMatchObject({ balanced: true });

    // The loop of the document: insert a batch, acknowledge it, and begin again where nothing was acknowledged.
    await scene.sink.pool.query('create table naive (n int)');
    let acknowledged = 0;
    for (let crashed = false; acknowledged < 1_000;) {
      await scene.sink.pool.query('insert into naive select generate_series($1::int, $1::int + 249)', [acknowledged]);
      if (!crashed && acknowledged === 250) crashed = true;
      else acknowledged += 250;
    }
    expect(await scene.rows('select count(*)::int as rows from naive')).toEqual([{ rows: 1_250 }]);
  });
});

describe('003-2 idempotency', () => {
  it('f(f(x)) = f(x): the same batch again, and processed again on purpose, changes no row', async () => {
    const path = scene.write(
      'twice.log',
      Array.from({ length: 500 }, (_, index) => logLine(index)),
    );
    await scene.attempt(path);
    const versions = (): Promise<unknown[]> =>
      scene.rows(
        `select e."offset"::int, e.xmin::text, e.message from log_entries e
         where e.source_id = (select max(source_id) from log_entries_by_path where path = $1) order by 1`,
        [path],
      );
    const before = await versions();
    expect(before).toHaveLength(500);
    expect((await scene.attempt(path)).chunks).toEqual([]);
    expect((await scene.attempt(path, { generation: 2 })).end).toMatchObject({
      out: { read: 500, loaded: 0, duplicate: 500 },
    });
    expect(await versions()).toEqual(before);
  });

  it('the upsert of the document, (2023-10-27, active_users, 4500), verifies the state instead of adding to it', async () => {
    const { pool } = scene.sink;
    const folder = mkdtempSync(join(tmpdir(), 'mendflow-sql-'));
    const file = join(folder, 'metrics.sql');
    const write = (value: number): void =>
      writeFileSync(
        file,
        `insert into daily_metrics values (:'data_date', 'active_users', ${value}, 1) on conflict (date, metric_id) do update set value = excluded.value;`,
      );
    const context = { ...contextOf({ dataDate: '2023-10-27' }), attempt: 1, idempotencyKey: 'k' };
    const stage = (): Promise<{ rows: number }> => withStage(context, sql(file, pool));
    const metrics = (): Promise<unknown[]> => scene.rows('select date::text, metric_id, value::int from daily_metrics');
    write(4_400);
    await stage();
    write(4_500);
    expect(await stage()).toEqual({ rows: 1 });
    expect(await stage()).toEqual({ rows: 1 });
    expect(await metrics()).toEqual([{ date: '2023-10-27', metric_id: 'active_users', value: 4_500 }]);
    rmSync(folder, { recursive: true });
  });
});

describe('003-4 checkpoint', () => {
  it('failing at line 999,999 of 1,000,000 goes on from the last chunk and never from line 1', async () => {
    const path = scene.write(
      'huge.log',
      Array.from({ length: 1_000_000 }, (_, index) => logLine(index)),
    );
    let records = 0;
    const failing = scene.attempt(path, {
      onChunk: ({ loaded }) => {
        records += loaded;
        // The chunk that holds line 999,999 is the next one: it fails after its rows are written and before they are kept.
        if (records >= 980_000) armFailpoints('chunk.beforeCommit:throw');
      },
    });
    await expect(failing).rejects.toThrow('chunk.beforeCommit');
    armFailpoints('');
    const checkpoint = (
      await scene.rows<{ upto: string }>(
        'select max(upper(extent))::text as upto from mendflow.chunk where run_key = $1',
        [runOf(path)],
      )
    )[0]!;
    const { end, chunks } = await scene.attempt(path);
    expect(end).toMatchObject({ done: true, out: { read: 1_000_000, loaded: 1_000_000 } });
    expect(chunks[0]!.from).toBe(Number(checkpoint.upto));
    expect(chunks.reduce((sum, chunk) => sum + chunk.records, 0)).toBe(1_000_000 - records);
    expect(1_000_000 - records).toBeLessThanOrEqual(20_000);
    expect(await stored(path)).toEqual({ rows: 1_000_000, offsets: 1_000_000 });
  }, 180_000);
});

describe('003-5 data and checkpoint in one transaction', () => {
  it.each(failpoints.filter((point) => point.startsWith('chunk.') && point !== 'chunk.inCommit'))(
    'a failure at %s keeps both or neither',
    async (point) => {
      const path = scene.write(
        `atomic-${point}.log`,
        Array.from({ length: 100 }, (_, index) => logLine(index)),
      );
      armFailpoints(`${point}:throw`);
      await expect(scene.attempt(path)).rejects.toThrow(/./);
      armFailpoints('');
      const { rows } = await stored(path);
      const [ledger] = await scene.rows<{ loaded: number }>(
        'select coalesce(sum(loaded), 0)::int as loaded from mendflow.chunk where run_key = $1',
        [runOf(path)],
      );
      expect({ rows, loaded: ledger!.loaded }).toEqual(
        point === 'chunk.afterCommit' ? { rows: 100, loaded: 100 } : { rows: 0, loaded: 0 },
      );
      expect((await scene.attempt(path)).end).toMatchObject({ out: { loaded: 100 } });
      expect(await stored(path)).toEqual({ rows: 100, offsets: 100 });
    },
  );
});

describe('003-6 dead letters', () => {
  it('1 bad row in 10,000 does not fail the batch: 9,999 are loaded, one is kept with its data and its error', async () => {
    const bad = '2026-11-20T08:00:00.000Z FATAL [billing] card 4711 declined';
    const path = scene.write(
      'ten-thousand.log',
      Array.from({ length: 10_000 }, (_, index) => (index === 6_000 ? bad : logLine(index))),
    );
    expect((await scene.attempt(path)).end).toEqual({
      done: true,
      out: { read: 10_000, loaded: 9_999, duplicate: 0, quarantined: 1, skipped: 0 },
    });
    const [letter, ...others] = await lettersOf(path);
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ line: 6_001, code: 'severity_unknown', rawWhole: true, source: path });
    expect(letter!.raw.toString()).toBe(bad);
    expect(letter!.violations).toHaveLength(1);
    // The evidence is kept, and kept from others: in the table it is sealed.
    const [sealed] = await scene.rows<{ raw: Buffer }>('select raw from mendflow.dead_letter where id = $1', [
      letter!.id,
    ]);
    expect(sealed!.raw.includes('4711')).toBe(false);
  });
});

describe('003-7 the schema of a log entry', () => {
  it('severity INFO, WARN or ERROR, a module of at least one character, a time; all that is wrong with a line is told', async () => {
    const path = scene.write('schema.log', [
      ...['INFO', 'WARN', 'ERROR'].map((severity) => `2026-11-20T08:00:01.500Z ${severity} [m] ok`),
      '2026-11-20T08:00:00.000Z DEBUG [m] a severity that is none of the three',
      '2026-11-20T08:00:00.000Z INFO [] a module of no characters',
      'yesterday TRACE [] three things wrong',
      'no log line at all',
    ]);
    expect((await scene.attempt(path, { quarantineShareMax: 1 })).end).toMatchObject({
      out: { read: 7, loaded: 3, quarantined: 4 },
    });
    expect(
      await scene.rows(
        `select severity, module, message, to_char(ts at time zone 'utc', 'HH24:MI:SS.MS') as time from log_entries_by_path where path = $1 order by line_no`,
        [path],
      ),
    ).toEqual(
      ['INFO', 'WARN', 'ERROR'].map((severity) => ({ severity, module: 'm', message: 'ok', time: '08:00:01.500' })),
    );
    const letters = await lettersOf(path);
    expect(letters.map(({ line, violations }) => [line, violations.map(({ field }) => field)])).toEqual([
      [4, ['severity']],
      [5, ['module']],
      [6, expect.arrayContaining(['timestamp', 'severity', 'module']) as unknown],
      [7, expect.any(Array) as unknown],
    ]);
    for (const { violations } of letters) expect(violations.length).toBeGreaterThan(0);
  });
});

describe('003-9 the creed and the card', () => {
  it('bad input steps aside, a repetition changes nothing, a restart goes on: in one run', async () => {
    const path = scene.write(
      'creed.log',
      Array.from({ length: 3_000 }, (_, index) => (index % 1_000 === 3 ? 'bad' : logLine(index))),
    );
    armFailpoints('chunk.afterLetters:throw@2');
    await expect(scene.attempt(path, { recordsMax: 1_000 })).rejects.toThrow('Failpoint');
    armFailpoints('');
    const { end, chunks } = await scene.attempt(path, { recordsMax: 1_000 });
    expect(end).toMatchObject({ out: { read: 3_000, loaded: 2_997, quarantined: 3 } });
    expect(chunks).toHaveLength(2);
    expect((await scene.attempt(path)).chunks).toEqual([]);
    expect(await lettersOf(path)).toHaveLength(3);
    expect(await closeRun(scene.sink.pool, runOf(path))).toMatchObject({ balanced: true, read: 3_000 });
  });

  it('the house has the rooms that the card names, and stages declare how they are retried', () => {
    const root = join(import.meta.dirname, '..', '..');
    for (const folder of ['src/workflows', 'src/activities', 'test']) {
      expect(statSync(join(root, folder)).isDirectory(), folder).toBe(true);
      expect(readdirSync(join(root, folder)).length).toBeGreaterThan(0);
    }
    for (const file of ['src/worker.ts', 'src/client.ts', 'package.json', 'docker-compose.yml'])
      expect(statSync(join(root, file)).isFile(), file).toBe(true);
    expect(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))).toHaveProperty('scripts.start');
    for (const policy of Object.values(logIngest.spec.stages))
      expect(policy).toMatchObject({ budget: { attemptsMax: expect.any(Number) as number }, backoff: { factor: 2 } });
    expect(nonRetryableErrorTypes).toEqual(expect.arrayContaining(['http_401', 'record_invalid', 'file_missing']));
    expect(nonRetryableErrorTypes).not.toContain('http_503');
  });
});
