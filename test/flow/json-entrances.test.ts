// What is promised here: a number of JSON keeps its digits through every entrance, and a letter holds the bytes that the source had.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import {
  type DatasetRef,
  datasetSource,
  flow,
  flowToDataset,
  json,
  landDataset,
  lines,
  openHttp,
  parse,
  readDataset,
  type Step,
  table,
  transform,
  validate,
} from '../../src/flow/index.ts';
import { showLetter } from '../../src/store/letters.ts';
import { answer, plainUpstream, startScripts } from '../support/http.ts';
import { contextOf, testSink } from './memory.ts';

const schema = 'any/1';
/** Spaces, escapes, a number with a zero behind it, keys in their own order, a key twice: nothing of it is as we would write it. */
const records = [
  '{"id":1234567890123456789}',
  '{"id":9007199254740993}',
  '{"id":0.1234567890123456789}',
  '{ "id" : -0.00000000000000000000000000001 , "note":"\\u00e9" }',
  '{"id":1.50,"2":"b","1":"a"}',
  '{"id":1e400}',
  '{"id":7,"id":18446744073709551615}',
];
const exact = [
  '1234567890123456789',
  '9007199254740993',
  '0.1234567890123456789',
  '-0.00000000000000000000000000001',
  '1.5',
  '1e400',
  '18446744073709551615',
];
const wrong = '{"id" :"x\\u0041","n":9007199254740993 , "f":1.0e2}';

let sink: Awaited<ReturnType<typeof testSink>>;
let server: Awaited<ReturnType<typeof startScripts>>;
let folder: string;
beforeAll(async () => {
  sink = await testSink();
  await sink.pool.query(
    `create table numbers (source_id bigint, "offset" bigint, run text, n numeric, t text, j jsonb, primary key (source_id, "offset"))`,
  );
  server = await startScripts(({ path }) => [
    path === '/list'
      ? answer(`[${[...records, wrong].join(',\n  ')}]`, { headers: ['content-type: application/json'] })
      : answer(`{"page":{"items":\r\n[${[...records, wrong].join('\r\n, ')}]},"total":9007199254740993}`, {
          headers: ['content-type: application/vnd.api+json'],
        }),
  ]);
  folder = await mkdtemp(join(tmpdir(), 'json-entrances-'));
});
afterAll(async () => {
  await server?.close();
  await sink?.end();
  await rm(folder, { recursive: true, force: true });
});

const into = table('numbers', { run: 'text', n: 'numeric', t: 'text', j: 'jsonb' });
const steps = (run: string): readonly Step[] => [
  parse(json),
  transform((record: { id: unknown }) => {
    if (typeof record.id === 'string') throw new TypeError('no number');
    return { run, n: record.id, t: record.id, j: record };
  }),
];

/** Rows as the database has them, letters as bytes. */
async function found(run: string): Promise<{ rows: unknown[]; letters: string[] }> {
  const { rows } = await sink.pool.query<{ n: string; t: string; j: string }>(
    `select n::text as n, t, (j -> 'id')::text as j from numbers where run = $1 order by "offset"`,
    [run],
  );
  const { rows: ids } = await sink.pool.query<{ id: string }>(
    'select id from mendflow.dead_letter where run_key = $1',
    [`test/${run}`],
  );
  const opened = await Promise.all(ids.map(({ id }) => showLetter(sink.pool, id, sink.seal)));
  return { rows: rows.map(({ n, t, j }) => [n, t, j]), letters: opened.map((one) => Buffer.from(one!.raw).toString()) };
}
/** What JavaScript writes for a double, which no digit is lost of. */
const short = (text: string): string => (text.startsWith('-') ? '-1e-29' : text);
const plain = (text: string): string => (text === '1e400' ? `1${'0'.repeat(400)}` : text);
const expected = {
  // Postgres writes what it was given: no digit more and no digit less, but for zeros behind the last one.
  rows: exact.map((text) => [plain(text), short(text), plain(text)]),
  letters: [wrong],
};

async function landed(run: string, path: string): Promise<DatasetRef> {
  const http = openHttp(plainUpstream('http:x', { address: server.address }), { readSecret: () => '' });
  try {
    return await landDataset(
      contextOf({ runKey: `test/${run}`, stage: 'fetch' }),
      { sink, schema, asOf: new Date() },
      async ({ put }) => {
        const body = (await http.get(path)).json() as unknown[] | { page: { items: unknown[] }; total: unknown };
        if (!Array.isArray(body)) expect(body.total).toBe(9_007_199_254_740_993n);
        for (const one of Array.isArray(body) ? body : body.page.items) await put(one);
        return {};
      },
    );
  } finally {
    await http.close();
  }
}

it.each(['/list', '/page'])('from an HTTP answer (%s) through a dataset into a table', async (path) => {
  const run = `http${path.replace('/', '-')}`;
  const ref = await landed(run, path);
  const ctx = contextOf({ runKey: `test/${run}`, stage: 'load' });
  const end = await flow({ from: datasetSource(ref, { schema }), steps: steps(run), into, sink }).run(ctx);
  expect(end).toMatchObject({ done: true, out: { loaded: 7, quarantined: 1 } });
  expect(await found(run)).toEqual(expected);
  const read: unknown[] = [];
  for await (const one of readDataset<{ id: unknown }>(sink.pool, ref, { schema })) read.push(String(one.id));
  expect(read).toEqual([...exact.map(short), 'xA']);
});

it('from the lines of a file, straight and through a second dataset', async () => {
  const path = join(folder, 'numbers.ndjson');
  await writeFile(path, `${[...records, wrong].join('\n')}\n`);
  const end = await flow({ from: lines(path), steps: steps('lines'), into, sink }).run(
    contextOf({ runKey: 'test/lines' }),
  );
  expect(end).toMatchObject({ done: true, out: { loaded: 7, quarantined: 1 } });
  expect(await found('lines')).toEqual(expected);

  const passed = await flowToDataset({
    from: datasetSource(await landed('passed', '/list'), { schema }),
    steps: [parse(json)],
    into: { schema },
    sink,
  }).run(contextOf({ runKey: 'test/passed', stage: 'pass' }));
  if (!passed.done) throw new Error('The flow did not end.');
  await flow({ from: datasetSource(passed.out, { schema }), steps: steps('passed'), into, sink }).run(
    contextOf({ runKey: 'test/passed', stage: 'load' }),
  );
  expect((await found('passed')).rows).toEqual(expected.rows);
});

it('is a letter with its bytes and with advice where the schema wants a double', async () => {
  const ref = await landed('double', '/list');
  const end = await flow({
    from: datasetSource(ref, { schema }),
    steps: [parse(json), validate(z.object({ id: z.number() })), transform(({ id }: { id: number }) => ({ n: id }))],
    into,
    sink,
  }).run(contextOf({ runKey: 'test/double', stage: 'load' }));
  expect(end).toMatchObject({ done: true, out: { loaded: 2, quarantined: 6 } });
  const { letters } = await found('double');
  expect(letters.toSorted()).toEqual([...records.filter((_, at) => at !== 3 && at !== 4), wrong].toSorted());
  const { rows } = await sink.pool.query<{ id: string }>(
    `select id from mendflow.dead_letter where run_key = 'test/double' order by line_no limit 1`,
  );
  const letter = await showLetter(sink.pool, rows[0]!.id, sink.seal);
  expect(letter!.violations[0]!.message).toContain('z.custom(isNumeric)');
});
