// What lives here: chunks loaded into a real Postgres and read back.
// Invariant: what the database sends back is, byte for byte, what was sent: only then can a hash over rows be made again from the table.
// Apart because this is the one test of formats that asks the database what a tuple means.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generate } from '../../../bench/generate.ts';
import { openFile, listFiles } from '../../../src/connectors/files.ts';
import { formats } from '../../../src/flow/formats/index.ts';
import { LOG_COLUMNS, openLogReader } from '../../../src/flow/log-reader.ts';
import { copyTuples } from '../../../src/store/copy-in.ts';
import { migratedDatabase } from '../../support/database.ts';
import { readAll, type Row, rowsOf } from './read.ts';

let folder: string;
let drop: () => Promise<void>;
let client: pg.Client;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendflow-tuples-'));
  const database = await migratedDatabase();
  drop = database.drop;
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
}, 60_000);
afterAll(async () => {
  await client.end();
  await drop();
  await rm(folder, { recursive: true });
});

const columns = LOG_COLUMNS.map((name) => pg.escapeIdentifier(name)).join(', ');
const load = (tuples: readonly Uint8Array[]): Promise<number> =>
  copyTuples(client, `copy log_entries (${columns}) from stdin with (format binary)`, tuples);

interface Stored {
  readonly offset: string;
  readonly line: string;
  readonly micros: string;
  readonly severity: string;
  readonly module: string;
  readonly message: string;
  readonly attributes: string | null;
  readonly day: string;
}
/** The rows as the database has them, in the shape of decoded tuples. */
async function stored(): Promise<unknown[]> {
  const { rows } = await client.query<Stored>(
    `select "offset", line_no as line, (extract(epoch from ts) * 1000000)::numeric(30) as micros, severity, module, message,
            attributes::text as attributes, data_date::text as day from log_entries order by "offset"`,
  );
  await client.query('truncate log_entries');
  return rows.map(({ offset, line, micros, attributes, ...rest }) => ({
    ...rest,
    offset: Number(offset),
    line: Number(line),
    micros: BigInt(micros),
    attributes,
  }));
}
const sent = (rows: readonly Row[], day: string): unknown[] =>
  rows.map(({ offset, line, micros, severity, module, message, attributesText }) => ({
    offset,
    line,
    micros,
    severity,
    module,
    message,
    attributes: attributesText,
    day,
  }));

test.each(['plain', 'log4j', 'apache'] as const)('generated %s: rows come back as they were sent', async (format) => {
  const raw = join(folder, `${format}.log`);
  const { rows, rawBytes } = generate({ format, lines: 5000, raw, clean: join(folder, 'clean') });
  const [ref] = await listFiles(raw);
  const reader = openLogReader(await openFile(ref!), {
    format: formats[format],
    sourceId: '1',
    dataDate: '2026-01-01',
    generation: 1,
  });
  const expected: Row[] = [];
  for await (const chunk of reader.chunks([{ from: 0, to: rawBytes }], {
    recordsMax: 2000,
    signal: new AbortController().signal,
  })) {
    expected.push(...rowsOf(chunk));
    expect(await load([chunk.tuples])).toBe(chunk.rows);
  }
  await reader.close();
  expect(expected).toHaveLength(rows);
  expect(await stored()).toEqual(sent(expected, '2026-01-01'));
});

test('times at the ends of the calendar, every control character, and attributes in jsonb’s normal form', async () => {
  const controls = Array.from({ length: 31 }, (_, index) => String.fromCharCode(index + 1))
    .filter((each) => each !== '\n' && each !== '\r')
    .join('');
  const access = (agent: string): string =>
    `c${controls}c - é [17/May/2015:10:05:03 -1130] "GET /${controls} HTTP/1.1" 200 0 "\u007f" "${agent}"`;
  const lines = {
    plain: [
      '0001-01-01T00:00:00.000001Z',
      '9999-12-31T23:59:59.999999-23:59',
      '1999-12-31T23:59:59.999999Z',
      '1715-01-01T00:00:00Z',
      '2285-12-31T00:00:00Z',
    ].map((ts) => `${ts} INFO [m${controls}] ${controls}🚀`),
    apache: [access('\\"'), access('\\\\'), access('東京')],
    jsonl: [
      '{"time":1795248000,"n":[1e10,-0,1.50,12345678901234567890.0123456789012345678901,1E-5],"\\u0001":"\\u0001\\b\\f\\/\\u00e9","aa":{"b":{},"a":[]},"b":""}',
      '{"time":1795248000,"ab":1,"é":2,"z":3,"\\"":4}',
    ],
    syslog: ['<165>1 2003-10-11T22:14:15.003Z h a p m [x y="\\"\\u1"] z'],
  } as const;
  for (const [format, text] of Object.entries(lines)) {
    const { chunks, rows } = readAll(formats[format as keyof typeof lines], text.join('\n'));
    expect(rows).toHaveLength(text.length);
    await load(chunks.map(({ tuples }) => tuples));
    expect(await stored()).toEqual(sent(rows, '2024-08-22'));
  }
});
