// What is promised here: a folder of files that all begin alike, such as with the same header, costs each file the same, however many there are.
import { writeFileSync } from 'node:fs';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ingestFile } from '../../src/activities/log-ingest.ts';
import { listFiles } from '../../src/connectors/files.ts';
import { contextOf, testSink } from '../flow/memory.ts';
import { Life } from './life-of-files.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
let life: Life;
let no = 0;
/** What the statements of the control store gave back so far. */
const told = { statements: 0, rows: 0 };
beforeAll(async () => {
  sink = await testSink();
  const query = sink.pool.query.bind(sink.pool) as (...args: unknown[]) => Promise<{ rows: unknown[] }>;
  sink.pool.query = (async (...args: unknown[]) => {
    const result = await query(...args);
    told.statements++;
    told.rows += result.rows.length;
    return result;
  }) as Pool['query'];
});
afterAll(() => sink.end());
beforeEach(() => {
  life = new Life(sink, `alike-${++no}`);
});
afterEach(() => life.end());

const header = `# ${'Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port '.repeat(3)}\n`;
const FILES = 50;
const COUNTED = 15;

it.each<[string, (nth: number) => (Buffer | string)[]]>([
  ['of different lines', () => [header, life.lines(5)]],
  ['of different lengths', (nth) => [header, life.lines(1 + (nth % 4))]],
  [
    'that differ behind their first kilobyte',
    (nth) => [header.repeat(6), `2026-11-20T08:00:00.000Z INFO [m] ${nth} ${'x'.repeat(90)}\n`],
  ],
])('files with the same header, %s', async (_, content) => {
  for (let nth = 0; nth < FILES; nth++)
    writeFileSync(
      life.path(`${String(nth).padStart(4, '0')}.log`),
      Buffer.concat(content(nth).map((part) => Buffer.from(part))),
    );
  const costs: (typeof told)[] = [];
  for (const file of await listFiles(life.folder)) {
    const before = { ...told };
    const ctx = contextOf({
      pipeline: life.pipeline,
      runKey: `${life.pipeline}/2026-11-21`,
      stage: `ingest[${file.name}]`,
    });
    const end = await ingestFile(sink, ctx, { file, format: 'plain', path: life.folder, sealed: true });
    expect(end.done).toBe(true);
    costs.push({ statements: told.statements - before.statements, rows: told.rows - before.rows });
  }
  const sum = (some: readonly (typeof told)[]): typeof told => ({
    statements: some.reduce((total, { statements }) => total + statements, 0),
    rows: some.reduce((total, { rows }) => total + rows, 0),
  });
  const [first, last] = [sum(costs.slice(1, 1 + COUNTED)), sum(costs.slice(-COUNTED))];
  expect(last.statements).toBeLessThanOrEqual(first.statements);
  expect(last.rows).toBeLessThanOrEqual(first.rows);
});
