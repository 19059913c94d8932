// What is promised here: wherever a file is named that records came from, it is named by a path that opens it.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSealer } from '../../src/store/seal.ts';
import type { Engine } from '../support/engine.ts';
import { type LogIngestClient, openLogIngest } from '../support/log-ingest.ts';

/** That of the file seal.key, with which the command line opens letters. */
const key = Buffer.alloc(32, 7);
const seal = createSealer([{ id: 'file', key }]);

let engine: Engine;
let client: LogIngestClient;
let folder: string;
beforeAll(async () => {
  client = await openLogIngest('paths', seal);
  ({ engine, folder } = client);
  writeFileSync(join(client.dir, 'seal.key'), key.toString('hex'));
}, 60_000);
afterAll(() => client?.close());

/** Lines that no other file has, with a bad one before the last. */
const linesOf = (name: string, bad = 'a bad line\n'): string =>
  Array.from(
    { length: 30 },
    (_, n) => `${n === 29 ? bad : ''}2026-11-21T10:00:00.${n + 100}Z INFO [m] ${name} ${n}\n`,
  ).join('');
interface Report {
  readonly run: string;
  readonly asks?: readonly { text: string }[];
}
const ingest = async (path: string, date: string): Promise<Report> => {
  const ran = await client.mendflow(
    'start',
    'log-ingest',
    '--date',
    date,
    '--set',
    `path=${path}`,
    'format=plain',
    '--wait',
    '--json',
  );
  return ran.json<Report>();
};

it.each([
  ['plain.log', (text: string) => Buffer.from(text)],
  ['packed.log.gz', (text: string) => gzipSync(text)],
  ['with a space.log', (text: string) => Buffer.from(text)],
  ['plain for all its name.gz', (text: string) => Buffer.from(text)],
])('%s: in letters and in the view', async (name, stored) => {
  const path = join(folder, name);
  writeFileSync(path, stored(linesOf(name)));
  const { run } = await ingest(path, '2026-11-21');
  const listed = await client.mendflow('letters', 'list', '--run', run, '--json');
  const [letter] = listed.json<{ id: string; source: string }[]>();
  expect(letter!.source).toBe(path);
  expect((await client.mendflow('letters', 'list', '--run', run)).out).toContain(`  ${path} `);
  const shown = await client.mendflow('letters', 'show', letter!.id);
  expect(shown.out).toContain(`  source   ${path}, line 30, `);
  const rows = await engine.rows(
    'select path, count(*)::int as n from log_entries_by_path where path = $1 group by 1',
    [path],
  );
  expect(rows).toEqual([{ path, n: 30 }]);
});

it('a log that was rotated: the view by the name of the log, a letter by that and by where the file is now', async () => {
  const path = join(folder, 'app.log');
  writeFileSync(path, linesOf('app'));
  const { run } = await ingest(path, '2026-11-22');
  renameSync(path, `${path}.1`);
  const { run: again } = await ingest(`${path}.1`, '2026-11-22');
  const told = await client.mendflow('show', again);
  expect(told.out).toContain(`app.log.1 is what was loaded as ${path}: the same log under another name.`);
  const [letter] = (await client.mendflow('letters', 'list', '--run', run, '--json')).json<
    { id: string; source: string }[]
  >();
  expect(letter!.source).toBe(path);
  expect((await client.mendflow('letters', 'show', letter!.id)).out).toContain(`  seen     ${path}.1\n`);
  expect(await engine.rows('select distinct path from log_entries_by_path where path like $1', [`${path}%`])).toEqual([
    { path },
  ]);
});

it('in the sentence of a run whose records are bad', async () => {
  const path = join(folder, 'all-bad');
  mkdirSync(path);
  writeFileSync(join(path, 'a.log'), linesOf('a', '').repeat(20));
  writeFileSync(join(path, 'b.log'), 'bad\nbad\nbad\n');
  const { asks } = await ingest(path, '2026-11-23');
  expect(asks![0]!.text).toContain(`Of one source every record is bad: ${join(path, 'b.log')}.`);
});
