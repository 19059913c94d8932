// What lives here: syslog, JSON lines and declared patterns: what becomes of each kind of line.
// Invariant: every outcome that a person may meet is written down here.
// Apart from the byte formats, which share another engine.
import { describe, expect, test } from 'vitest';
import { jsonl } from '../../../src/flow/formats/jsonl.ts';
import { numericText } from '../../../src/flow/formats/json-text.ts';
import { syslog } from '../../../src/flow/formats/syslog.ts';
import { compile } from '../../../src/flow/parse/compile.ts';
import type { PatternFormat } from '../../../src/flow/parse/format.ts';
import { dayOfDataDate } from '../../../src/flow/parse/time.ts';
import { outcome, readAll, type Row } from './read.ts';

const at = (row: unknown): string => new Date(Number((row as Row).micros / 1000n)).toISOString();

describe('syslog', () => {
  test('RFC 5424', () => {
    const row = outcome(
      syslog,
      '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [a@1 x="1 \\"]\\" 2"][b y="3"] \ufeffAn event',
    );
    expect(row).toMatchObject({ severity: 'NOTICE', module: 'evntslog', message: 'An event' });
    expect(at(row)).toBe('2003-10-11T22:14:15.003Z');
    expect((row as Row).attributes).toEqual({
      facility: 20,
      host: 'mymachine.example.com',
      msgid: 'ID47',
      structured: '[a@1 x="1 \\"]\\" 2"][b y="3"]',
    });
  });
  test('RFC 5424 without a message', () =>
    expect(outcome(syslog, '<34>1 2003-10-11T22:14:15Z host su - - -')).toMatchObject({
      severity: 'CRIT',
      message: '',
      attributes: { facility: 4, host: 'host' },
    }));
  test('RFC 3164, with and without priority, process and tag', () => {
    expect(outcome(syslog, '<13>Nov  3 09:23:38 veridian automount[7998]: lookup(file): failed')).toMatchObject({
      severity: 'NOTICE',
      module: 'automount',
      message: 'lookup(file): failed',
      attributes: { facility: 1, host: 'veridian', pid: '7998' },
    });
    expect(outcome(syslog, 'Nov  3 09:23:38 veridian sudo: x')).toMatchObject({
      severity: '-',
      module: 'sudo',
      message: 'x',
      attributes: { host: 'veridian' },
    });
    expect(outcome(syslog, 'Nov  3 09:23:38 veridian last message repeated 3 times')).toMatchObject({
      module: '-',
      message: 'last message repeated 3 times',
    });
  });
  test.each([
    ['2021-01-01', 'Dec 31 23:59:59', '2020-12-31T23:59:59.000Z'],
    ['2020-12-31', 'Jan  1 00:00:01', '2021-01-01T00:00:01.000Z'],
    ['2020-06-15', 'Jun 15 12:00:00', '2020-06-15T12:00:00.000Z'],
    ['2021-01-10', 'Feb 29 12:00:00', '2020-02-29T12:00:00.000Z'],
  ])('on %s, %s was %s', (dataDate, stamp, expected) => {
    const constants = { sourceId: '1', dataDay: dayOfDataDate(dataDate)!, generation: 1 };
    expect(at(readAll(syslog, `${stamp} h a: b`, { constants }).rows[0])).toBe(expected);
  });
  test.each([
    ['Feb 30 12:00:00 h a: b', ['timestamp_impossible']],
    ['Nox  1 12:00:00 h a: b', ['line_shape']],
    ['Nov  1 25:00:00 h a: b', ['timestamp_impossible']],
    ['<999>Nov  1 12:00:00 h a: b', ['priority_invalid']],
    ['<999>1 2003-02-30T22:14:15Z h a - - - x', ['priority_invalid', 'timestamp_impossible']],
    ['<34>1 - h a - - - x', ['timestamp_missing']],
    ['<34>1 2003-10-11T22:14:15Z h a - - [open x', ['line_shape']],
    ['<34>hello', ['line_shape']],
    ['hello', ['line_shape']],
  ])('%s is rejected', (line, codes) => expect(outcome(syslog, line)).toEqual(codes));
});

describe('JSON lines', () => {
  test('columns are taken, the rest stays digit for digit, in jsonb’s own order', () => {
    const row = outcome(
      jsonl,
      '{"ts":"2013-09-06T20:00:49.124817Z","lvl":"info","logger":"a.b","msg":"Starting \\u001B[0m \\u00b5","n":12345678901234567890.10,"zz":{"b":[1,{"y":null,"x":true}],"a":"\\t"},"é":1e3,"n2":-0.0}',
    ) as Row;
    expect(row).toMatchObject({ severity: 'INFO', module: 'a.b', message: 'Starting \u001b[0m µ' });
    expect(at(row)).toBe('2013-09-06T20:00:49.124Z');
    expect(row.attributesText).toBe(
      '{"n": 12345678901234567890.10, "n2": 0.0, "zz": {"a": "\\t", "b": [1, {"x": true, "y": null}]}, "é": 1000}',
    );
  });
  test('pino’s numbers and epochs', () => {
    expect(outcome(jsonl, '{"level":50,"time":1531171074631,"msg":"x","pid":7}')).toMatchObject({
      severity: 'ERROR',
      message: 'x',
      module: '-',
      attributes: { pid: 7 },
    });
    for (const time of ['1531171074', '1531171074.631', '1531171074631', '1531171074631000', '1531171074631000000'])
      expect(at(outcome(jsonl, `{"time":${time},"msg":""}`))).toBe(
        time === '1531171074' ? '2018-07-09T21:17:54.000Z' : '2018-07-09T21:17:54.631Z',
      );
  });
  test('no attributes are no object; the last of equal keys stands', () => {
    expect(outcome(jsonl, '{"time":"2026-01-01T00:00:00Z","msg":"x"}')).toMatchObject({ attributes: null });
    expect(outcome(jsonl, '{"time":"2026-01-01T00:00:00Z","msg":"x","a":1,"a":2}')).toMatchObject({
      attributes: { a: 2 },
    });
  });
  const time = '"time":"2026-01-01T00:00:00Z"';
  test.each([
    ['{"msg":', ['json_invalid']],
    ['[1]', ['json_no_object']],
    ['null', ['json_no_object']],
    ['{"msg":"x"}', ['timestamp_missing']],
    ['{"time":"xxx","level":"LOUD","msg":"x"}', ['timestamp_invalid']],
    [`{${time},"msg":"a\\u0000b"}`, ['text_unstorable']],
    [`{${time},"a":"\\ud800"}`, ['text_unstorable']],
    [`{${time},"a":1e999}`, ['json_number']],
    [`{${time},"a":${'['.repeat(100)}${']'.repeat(100)}}`, ['json_too_deep']],
    [`{${time},"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, ['json_too_deep']],
  ])('%s is rejected', (line, codes) => expect(outcome(jsonl, line)).toEqual(codes));
  test.each([
    ['0', '0'],
    ['-0', '0'],
    ['1.50', '1.50'],
    ['1.5e2', '150'],
    ['1.50e1', '15.0'],
    ['1e-3', '0.001'],
    ['-12.5E-1', '-1.25'],
    ['120E+2', '12000'],
    ['0.0e5', '0'],
  ])('%s is written as %s', (lexeme, text) => expect(numericText(lexeme)).toBe(text));
});

describe('a declared pattern', () => {
  const format: PatternFormat = {
    kind: 'pattern',
    name: 'own',
    says: 'our own',
    pattern: String.raw`(?P<time>\S+) (?:(?P<severity>[A-Z]+) )?(?P<user>\w+)?@(?P<host>\w+): (?P<message>.*)`,
    stored: { OOPS: 'ERROR' },
    severityDefault: 'INFO',
    moduleDefault: 'own',
  };
  test('gives columns and attributes; a group that did not take part is none', () => {
    expect(outcome(format, '2026-01-01T00:00:00+01:00 OOPS bob@h: hello')).toMatchObject({
      severity: 'ERROR',
      module: 'own',
      message: 'hello',
      attributes: { user: 'bob', host: 'h' },
    });
    expect(outcome(format, '2026-01-01T00:00:00Z @h: ')).toMatchObject({
      severity: 'INFO',
      message: '',
      attributes: { host: 'h' },
    });
  });
  test('names what is wrong', () => {
    expect(outcome(format, 'nonsense')).toEqual(['line_shape']);
    expect(outcome(format, '2026-02-30T00:00:00Z LOUD bob@h: x')).toEqual(['timestamp_impossible']);
  });
  test('a pattern that would take for ever elsewhere takes a moment', () => {
    const before = performance.now();
    expect(outcome({ ...format, pattern: '(?P<time>a*)*b(?P<message>.*)' }, 'a'.repeat(20_000))).toEqual([
      'line_shape',
    ]);
    expect(performance.now() - before).toBeLessThan(20_000);
  });
  test.each(['(', '(?P<message>.*)', '(?P<time>x)'])('%s is declared wrong', (pattern) =>
    expect(() => compile({ ...format, pattern }, { sourceId: '1', dataDay: 0, generation: 1 })).toThrow(RangeError),
  );
});
