// What lives here: what holds for any bytes, any portions and any chunk size; and a slow, obvious reader that must agree with the quick one.
// Invariant: nothing here knows how the tokeniser works.
// Apart because examples show what we thought of; these find what we did not.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formats } from '../../../src/flow/formats/index.ts';
import type { Format } from '../../../src/flow/parse/format.ts';
import { chunksOf, readAll, rowsOf } from './read.ts';

/** Fragments that lines are made of, broken ones among them: random bytes alone would never get past the first field. */
const fragments = [
  '2026-11-21T08:00:00.250Z', '2026-02-30T08:00:00Z', '[2016-12-19 18:01:53,612]', '[2016-12-19 ', ' INFO', ' WARN ', ' LOUD ', ' [api] ', ' [] ', '] ',
  '  at a.b (c.js:1)', 'Caused by: x', 'ValueError: x', '2026-11-21 08:00:00,123 ERROR [main] a.B: x', '203.0.113.1 - - [21/Nov/2026:08:00:00 +0000] "GET /"a" HTTP/1.1" 200 13 "-" "UA" 1 2', 'Nov 21 08:00:00 h sshd[1]: x', '{"time":1795248000,"level":"warn","log":{"level":"x"},"msg":"x"}',
  'message', ' (a.B)', ' ()', '\n', '\n', '\n', '\r\n', '\tat x', ' ', '"', '\\"', '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "a"',
  '10.0.0.1 - - [', '17/Feb/2015:25:05:03 +0000', '\0', '\0'.repeat(20), '\0'.repeat(90), 'é', '🚀', '\ufeff',
]; // prettier-ignore
const bytes = fc
  .array(
    fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...fragments).map((text) => Buffer.from(text)) },
      fc.uint8Array({ maxLength: 3 }),
    ),
    { maxLength: 60 },
  )
  .map((parts) => Buffer.concat(parts));
const feed = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
/** Kafka's layout alone, as it is read byte by byte. */
const { variants: _, ...kafka } = formats.log4j;
const format = fc.constantFrom<Format>(...Object.values(formats));
const recordBytesMax = fc.constantFrom(20, 64, 100_000);

test('the records of any bytes tile them exactly, whatever the chunk size', () => {
  fc.assert(
    fc.property(
      format,
      bytes,
      feed,
      fc.integer({ min: 1, max: 7 }),
      recordBytesMax,
      (given, input, portions, recordsMax, limit) => {
        const chunks = chunksOf(given, input, { feed: portions, recordsMax, recordBytesMax: limit });
        let at = 0;
        let line = 1;
        for (const chunk of chunks) {
          expect([chunk.from, chunk.firstLine]).toEqual([at, line]);
          const part = input.subarray(chunk.from, chunk.to);
          expect(createHash('sha256').update(part).digest().equals(chunk.rawSha256)).toBe(true);
          expect(createHash('sha256').update(chunk.tuples).digest().equals(chunk.rowsSha256)).toBe(true);
          const records = chunk.rows + chunk.rejects.length + chunk.skipped;
          expect(records).toBeGreaterThan(0);
          expect(records).toBeLessThanOrEqual(recordsMax);
          const held = [...chunk.lengths, ...chunk.rejects.map(({ length }) => length)].reduce(
            (sum, each) => sum + each,
            0,
          );
          expect(held).toBeLessThanOrEqual(part.length);
          if (chunk.skipped === 0) expect(held).toBe(part.length);
          for (const reject of chunk.rejects) {
            const raw = input.subarray(reject.offset, reject.offset + reject.length);
            const kept = raw.at(-1) === 10 ? raw.subarray(0, -1) : raw;
            expect(kept.equals(reject.raw)).toBe(true);
            expect(reject.violations.length).toBeGreaterThan(0);
            expect(reject.code).toBe(reject.violations[0]!.code);
          }
          expect(rowsOf(chunk).map(({ offset }) => offset)).toEqual([...chunk.offsets]);
          at = chunk.to;
          line += chunk.lines;
        }
        expect(at).toBe(input.length);
        expect(line - 1).toBe(
          input.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0) +
            (input.length > 0 && input.at(-1) !== 10 ? 1 : 0),
        );
      },
    ),
    { numRuns: 800 },
  );
});

test('the portions in which bytes come change nothing', () => {
  fc.assert(
    fc.property(format, bytes, feed, recordBytesMax, (given, input, portions, limit) => {
      expect(chunksOf(given, input, { feed: portions, recordBytesMax: limit })).toEqual(
        chunksOf(given, input, { recordBytesMax: limit }),
      );
    }),
    { numRuns: 500 },
  );
});

test('a part of a source that begins at a record is read as it is in the whole', () => {
  fc.assert(
    fc.property(format, bytes, fc.nat(), (given, input, pick) => {
      const whole = chunksOf(given, input, { recordsMax: 1 });
      if (whole.length === 0) return;
      const { from } = whole[pick % whole.length]!;
      const part = chunksOf(given, input, { recordsMax: 1, from });
      expect(part.map(({ to, rowsSha256 }) => [to, rowsSha256])).not.toBe([]);
      expect(part.map(({ to }) => to)).toEqual(whole.filter(({ to }) => to > from).map(({ to }) => to));
    }),
    { numRuns: 300 },
  );
});

/** Slow and obvious: one regular expression a format, the platform's own dates. */
const isDay = (year: number, month: number, day: number): boolean => {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return year > 0 && date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
};
const stamp = String.raw`(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?([Zz]|[+-]\d\d(?::?\d\d)?)?`;
function microsOf(parts: readonly (string | undefined)[]): bigint | undefined {
  const [year, month, day, hour, minute, second] = parts.slice(0, 6).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (!isDay(year, month, day) || hour > 23 || minute > 59 || second > 59) return undefined;
  const zone = /^([+-])(\d\d):?(\d\d)?$/.exec(parts[7] ?? '');
  if (zone && (Number(zone[2]) > 23 || Number(zone[3] ?? 0) > 59)) return undefined;
  const east = zone ? (zone[1] === '-' ? -1 : 1) * (Number(zone[2]) * 3600 + Number(zone[3] ?? 0) * 60) : 0;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - east;
  return BigInt(seconds) * 1_000_000n + BigInt((parts[6] ?? '').padEnd(6, '0').slice(0, 6));
}
type Plain = { micros: bigint; severity: string; module: string; message: string };
function slowPlain(line: string): Plain | undefined {
  const found = new RegExp(`^${stamp} (INFO|WARN|ERROR) \\[((?:(?!\\] ).)+)\\] (.*)$`, 'su').exec(line);
  const micros = found === null ? undefined : microsOf(found.slice(1, 9));
  if (found === null || micros === undefined || line.includes('\0')) return undefined;
  return { micros, severity: found[9]!, module: found[10]!, message: found[11]! };
}
function slowLog4j(line: string): Plain | undefined {
  const found = new RegExp(`^\\[${stamp}\\] (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) (.*) \\(([^() ]+)\\)$`, 'su').exec(
    line,
  );
  const micros = found === null ? undefined : microsOf(found.slice(1, 9));
  if (found === null || micros === undefined || line.includes('\0')) return undefined;
  return { micros, severity: found[9]!, message: found[10]!, module: found[11]! };
}

/** A good line, then a few of its characters changed, taken out or doubled. */
const mutated = (good: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      good,
      fc.array(fc.tuple(fc.nat(), fc.constantFrom('drop', 'double', ...'09:-[](). \tZ+TIé\0'.split(''))), {
        maxLength: 3,
      }),
    )
    .map(([line, changes]) =>
      changes.reduce((text, [at, change]) => {
        const characters = Array.from(text);
        const place = characters.length === 0 ? 0 : at % characters.length;
        const old = characters[place] ?? '';
        characters[place] = change === 'drop' ? '' : change === 'double' ? old + old : change;
        return characters.join('');
      }, line),
    );
const word = fc.string({ unit: fc.constantFrom(...'ab1 ]).[('.split(''), 'é'), maxLength: 8 });
const time = fc
  .tuple(
    fc.integer({ min: 0, max: 9999 }),
    fc.integer({ min: 0, max: 13 }),
    fc.integer({ min: 0, max: 32 }),
    fc.integer({ min: 0, max: 24 }),
    fc.integer({ min: 0, max: 60 }),
  )
  .map(([year, month, day, hour, minute]) => {
    const two = (value: number): string => String(value).padStart(2, '0');
    return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(minute)}`;
  });
const tail = fc.constantFrom('', 'Z', '.5Z', ',123', '.123456789+02:00', '-0530', '+01', '+25:00');

describe('the quick reader agrees with the slow one', () => {
  test.each([
    [
      'plain-strict',
      slowPlain,
      fc
        .tuple(time, tail, fc.constantFrom('INFO', 'WARN', 'ERROR'), word, word)
        .map(([a, b, c, d, e]) => `${a}${b} ${c} [${d}] ${e}`),
    ],
    [
      'log4j',
      slowLog4j,
      fc
        .tuple(time, tail, fc.constantFrom('INFO', 'TRACE', 'FATAL'), word, word)
        .map(([a, b, c, d, e]) => `[${a}${b}] ${c} ${d} (${e.replaceAll(/[() ]/g, '')})`),
    ],
  ] as const)('%s', (name, slow, good) => {
    let loaded = 0;
    fc.assert(
      fc.property(mutated(good), (line) => {
        // A line that is blank, or that log4j takes for the continuation of another, is no record of its own.
        if (/^\s*$/.test(line) || (name === 'log4j' && !/^\[\d{4}-\d\d-\d\d /.test(line.replace('T', ' ')))) return;
        const text = name === 'log4j' ? line.replace('T', ' ') : line;
        const expected = slow(text);
        const { rows, rejects } = readAll(name === 'log4j' ? kafka : formats[name], text);
        if (expected !== undefined) loaded++;
        expect(rows.length + rejects.length).toBe(1);
        expect(rows.map(({ micros, severity, module, message }) => ({ micros, severity, module, message }))).toEqual(
          expected === undefined ? [] : [expected],
        );
      }),
      { numRuns: 1500 },
    );
    expect(loaded).toBeGreaterThan(100);
  });
});
