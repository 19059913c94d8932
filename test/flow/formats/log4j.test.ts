// What lives here: what a record of several lines is, where it ends, and what becomes of lines that belong to none.
// Invariant: a stack trace is loaded with its cause or not at all.
// Apart because continuation lines are what the other formats do not have.
import { describe, expect, test } from 'vitest';
import { log4j } from '../../../src/flow/formats/log4j.ts';
import { outcome, readAll } from './read.ts';

const head = (
  message = 'started',
  module = 'kafka.Server',
  severity = 'INFO',
  stamp = '2016-12-19 18:01:53,612',
): string => `[${stamp}] ${severity} ${message} (${module})`;
const trace = 'java.io.IOException: gone\n\tat a.B.c(B.java:1)\n\n\tat d.E.f(E.java:2)';

test('a line becomes a row, its module taken off its end', () =>
  expect(outcome(log4j, head('Connection to 1 (id: 1) failed', 'kafka.server.Fetcher$Thread'))).toMatchObject({
    micros: BigInt(Date.UTC(2016, 11, 19, 18, 1, 53, 612)) * 1000n,
    severity: 'INFO',
    module: 'kafka.server.Fetcher$Thread',
    message: 'Connection to 1 (id: 1) failed',
    attributes: null,
  }));

test.each(['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'])('%s is a severity', (severity) =>
  expect(outcome(log4j, head('m', 'x', severity))).toMatchObject({ severity }),
);

describe('lines that do not begin with a date in brackets', () => {
  test('continue the record before them, blank ones too', () => {
    const { rows, chunks } = readAll(log4j, `${head('a')}\n${trace}\n${head('b')}\n`);
    expect(rows.map(({ message, line, offset }) => ({ message, line, offset }))).toEqual([
      { message: `a\n${trace}`, line: 1, offset: 0 },
      { message: 'b', line: 6, offset: head('a').length + trace.length + 2 },
    ]);
    expect(chunks[0]).toMatchObject({ lines: 6, rows: 2 });
  });
  test('may carry the module, if the message itself was broken', () =>
    expect(
      readAll(log4j, `${head('x', '').replace(' ()', '')}values: \n\ta = 1\n\tb = 2\n (kafka.Config)\nmore\n`).rows,
    ).toMatchObject([{ module: 'kafka.Config', message: 'xvalues: \n\ta = 1\n\tb = 2\n\nmore' }]));
  test('end with CRLF as well as with LF', () =>
    expect(
      readAll(log4j, `${head('a')}\r\n\tat x\r\n${head('b')}\r\n`).rows.map(({ message, module }) => [message, module]),
    ).toEqual([
      ['a\n\tat x', 'kafka.Server'],
      ['b', 'kafka.Server'],
    ]));
  test('are rejected with their record', () => {
    const { rejects, rows } = readAll(log4j, `${head('a')}\n${head('b', 'm', 'LOUD')}\n${trace}\n${head('c')}`);
    expect(rows.map(({ message }) => message)).toEqual(['a', 'c']);
    expect(rejects).toMatchObject([
      { code: 'severity_unknown', line: 2, length: head('b', 'm', 'LOUD').length + trace.length + 2 },
    ]);
    expect(Buffer.from(rejects[0]!.raw).toString()).toBe(`${head('b', 'm', 'LOUD')}\n${trace}`);
  });
  test('stand for themselves before the first record: one reject each, blank ones skipped', () => {
    const { rejects, rows, skipped } = readAll(log4j, `\tat x\n\n\tat y\n${head('a')}\n`);
    expect(rejects.map(({ code, line }) => [code, line])).toEqual([
      ['orphan', 1],
      ['orphan', 3],
    ]);
    expect([rows.length, skipped]).toEqual([1, 1]);
  });
});

test.each([
  ['an impossible date', head('m', 'x', 'INFO', '2016-02-30 18:01:53,612'), ['timestamp_impossible']],
  [
    'a date, a severity and a module',
    head('m', '', 'LOUD', '2016-02-30 18:01:53,612'),
    ['timestamp_impossible', 'severity_unknown', 'module_missing'],
  ],
  ['a cut head', '[2016-12-19 18:01', ['timestamp_invalid', 'severity_missing', 'module_missing']],
])('%s: every violation is named', (_, text, codes) => expect(outcome(log4j, text)).toEqual(codes));

test('a record that is too long takes its continuation lines along, however its bytes come', () => {
  const long = `${head('a')}\n${'\tat some.where(X.java:1)\n'.repeat(2000)}`;
  for (const feed of [[Number.MAX_SAFE_INTEGER], [7], [1000, 3]]) {
    const { rows, rejects, chunks } = readAll(log4j, `${head('0')}\n${long}${head('b')}\n`, {
      recordBytesMax: 500,
      feed,
    });
    expect(rows.map(({ message, line }) => [message, line])).toEqual([
      ['0', 1],
      ['b', 2003],
    ]);
    expect(rejects).toMatchObject([{ code: 'record_too_long', length: long.length, line: 2 }]);
    expect(chunks.at(-1)).toMatchObject({ lines: 2003 });
  }
});

test('a bad byte is remembered while its record waits for its end', () => {
  const [first, bad, last] = [`${head('x'.repeat(200))}\n`, `${head('a\0b')}\n`, `${head('c')}\n`];
  const { rows, rejects } = readAll(log4j, first + bad + last, { feed: [first.length, bad.length, last.length] });
  expect(rejects.map(({ code, offset }) => [code, offset])).toEqual([['nul_byte', first.length]]);
  expect(rows).toHaveLength(2);
});

test('a chunk ends at the end of a record', () => {
  const text = Array.from({ length: 9 }, (_, index) => `${head(`m${index}`)}\n${trace}\n`).join('');
  const { chunks, rows } = readAll(log4j, text, { recordsMax: 2 });
  expect(chunks.map(({ rows: count, firstLine }) => [count, firstLine])).toEqual([
    [2, 1],
    [2, 11],
    [2, 21],
    [2, 31],
    [1, 41],
  ]);
  expect(rows.map(({ message }) => message)).toEqual(Array.from({ length: 9 }, (_, index) => `m${index}\n${trace}`));
});
