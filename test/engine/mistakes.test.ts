// What is promised here: a developer's own mistake is read where one looks, with file and line, and without a value.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sql, serve, stage as current } from '../../src/engine/worker.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { mistakes } from './mistakes/stages.ts';
import { line } from './pipelines.ts';

let engine: Engine;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(process.cwd(), '.mendflow', 'mistakes-'));
  engine = await openEngine((stage) => [
    serve(line, { first: stage('first'), second: stage('second'), third: stage('third') }),
  ]);
  await engine.startWorker();
});
afterAll(async () => {
  await engine?.close();
  rmSync(folder, { recursive: true, force: true });
});

let day = 0;
/** What a run asks whose first stage does this, and what its history holds. */
const asked = async (code: () => Promise<unknown>): Promise<{ text: string; history: string }> => {
  engine.script('first', code);
  const dataDate = `2026-04-${String(++day).padStart(2, '0')}`;
  const handle = await engine.start('line', { dataDate });
  await engine.parked('first', `line/${dataDate}`);
  const [row] = await engine.rows<{ text: string }>('select text from mendflow.parked_run where run_key = $1', [
    `line/${dataDate}`,
  ]);
  const history = JSON.stringify(await handle.fetchHistory());
  await engine.decide(handle, { kind: 'abort' });
  return { text: row!.text, history };
};

const source = readFileSync(join(import.meta.dirname, 'mistakes', 'stages.ts'), 'utf8').split('\n');
const placeOf = (mark: string): string =>
  `test/engine/mistakes/stages.ts:${source.findIndex((text) => text.endsWith(`// ${mark}`)) + 1}:`;

it.each([
  ['TypeError', 'TypeError', /\(TypeError\), at test/],
  ['SyntaxError', 'SyntaxError', /, at test/],
  ['Error', 'Error', /^Error that no rule knows, at test/],
  ['wrapped', 'wrapped', /, at test/],
  ['column', 'column', /\(SQLSTATE 42703\): column "palced_at" does not exist, at character 8 of the statement, test/],
  ['value', 'value', /\(SQLSTATE 42703\): column "…" does not exist, at character 8/],
  ['syntax', 'syntax', /\(SQLSTATE 42601\): syntax error at or near "…", at character \d+ of the statement, test/],
])('a mistake in a stage (%s) is told with its file and line', { timeout: 60_000 }, async (name, mark, says) => {
  const { text, history } = await asked(() => mistakes[name]!(engine.pool));
  expect(text).toMatch(says);
  expect(text).toContain(placeOf(mark));
  // Long enough that no time of the history has the same digits.
  for (const value of ['4111 1111', '4111.ts', 'Ann', 'Smith']) {
    expect(text).not.toContain(value);
    expect(history).not.toContain(value);
    expect(history).not.toContain(
      Buffer.from(value)
        .toString('base64')
        .slice(0, 4 * Math.floor(value.length / 3)),
    );
  }
});

it.each([
  [
    'a column',
    'select 1;\n\nselect palced_at from mendflow.run;',
    /column "palced_at" does not exist \(SQLSTATE 42703\), at \S+\.sql:3\. The/,
  ],
  ['a word', 'select 1;\nselct 2;', /syntax error at or near "selct" \(SQLSTATE 42601\), at \S+\.sql:2\. The/],
  [
    'a table',
    "select ':' || :'data_date';\nselect * from ordres",
    /relation "ordres" does not exist \(SQLSTATE 42P01\), at \S+\.sql:2\. The/,
  ],
  [
    'a value',
    "select 1;\nselect '4111x'::int",
    /^The database refused a record \(SQLSTATE 22P02\), at \S+\.sql:2\. The/,
  ],
  ['its own word', "do $$ begin raise exception 'Ann'; end $$", /\(SQLSTATE P0001\), at \S+\.sql\. The/],
])('%s that is wrong in an SQL file is told with its line', { timeout: 60_000 }, async (_what, text, says) => {
  const file = join(folder, `${++day}.sql`);
  writeFileSync(file, text);
  const found = await asked(() => (void current(), sql(file, engine.pool)()));
  expect(found.text).toMatch(says);
  for (const value of ['4111', 'Ann']) expect(found.text).not.toContain(value);
});
