// What lives here: what becomes of each kind of plain line, good and bad.
// Invariant: every outcome that a person may meet is written down here.
// Apart because the other formats share the engine and repeat only what differs.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { plain } from '../../../src/flow/formats/plain.ts';
import { outcome, readAll, type Row } from './read.ts';

const line = (parts: { ts?: string; severity?: string; module?: string; message?: string } = {}): string =>
  `${parts.ts ?? '2026-11-21T08:00:00.250Z'} ${parts.severity ?? 'INFO'} [${parts.module ?? 'api'}] ${parts.message ?? 'ready'}`;
const row = (text: string): Row => {
  const found = outcome(plain, text);
  if (typeof found === 'string' || Array.isArray(found)) throw new Error(`Not loaded: ${String(found)}`);
  return found as Row;
};
const timeOf = (ts: string): string => {
  const { micros } = row(line({ ts }));
  return `${new Date(Number(micros / 1000n)).toISOString().slice(0, -1)}${String(micros % 1000n).padStart(3, '0')}`;
};

test('a good line becomes a row with its place and its constants', () => {
  const text = `${line()}\n${line({ severity: 'ERROR', module: 'a b', message: 'x [y] z' })}\n`;
  const { rows, chunks } = readAll(plain, text);
  expect(rows).toEqual([
    {
      sourceId: 7n,
      offset: 0,
      line: 1,
      micros: BigInt(Date.parse('2026-11-21T08:00:00.250Z')) * 1000n,
      severity: 'INFO',
      module: 'api',
      message: 'ready',
      attributes: null,
      attributesText: null,
      dataDay: 9000,
      generation: 2,
    },
    expect.objectContaining({
      offset: line().length + 1,
      line: 2,
      severity: 'ERROR',
      module: 'a b',
      message: 'x [y] z',
    }),
  ]);
  expect(chunks).toEqual([
    expect.objectContaining({ from: 0, to: text.length, firstLine: 1, lines: 2, rows: 2, skipped: 0 }),
  ]);
  expect(Buffer.from(chunks[0]!.rawSha256)).toEqual(createHash('sha256').update(text).digest());
  expect(Buffer.from(chunks[0]!.rowsSha256)).toEqual(createHash('sha256').update(chunks[0]!.tuples).digest());
});

describe('timestamps', () => {
  test.each([
    ['2026-11-21T08:00:00Z', '2026-11-21T08:00:00.000000'],
    ['2026-11-21T08:00:00', '2026-11-21T08:00:00.000000'],
    ['2026-11-21 08:00:00,5', '2026-11-21T08:00:00.500000'],
    ['2026-11-21T08:00:00.123456Z', '2026-11-21T08:00:00.123456'],
    ['2026-11-21T08:00:00.123456789Z', '2026-11-21T08:00:00.123456'],
    ['2026-11-21T08:00:00+02:00', '2026-11-21T06:00:00.000000'],
    ['2026-11-21T08:00:00-0530', '2026-11-21T13:30:00.000000'],
    ['2026-01-01T00:30:00+01', '2025-12-31T23:30:00.000000'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000000'],
    ['2000-02-29t00:00:00z', '2000-02-29T00:00:00.000000'],
    ['1969-12-31T23:59:59.999Z', '1969-12-31T23:59:59.999000'],
  ])('%s is loaded as %s', (ts, expected) => expect(timeOf(ts)).toBe(expected));

  test('the first and the last year are exact to the microsecond', () => {
    expect(row(line({ ts: '9999-12-31T23:59:59.999999Z' })).micros).toBe(253_402_300_799_999_999n);
    expect(row(line({ ts: '0001-01-01T00:00:00.000001Z' })).micros).toBe(-62_135_596_799_999_999n);
  });

  test.each([
    '2026-02-30T08:00:00Z',
    '2025-02-29T08:00:00Z',
    '1900-02-29T08:00:00Z',
    '2026-13-01T08:00:00Z',
    '2026-00-10T08:00:00Z',
    '2026-11-00T08:00:00Z',
    '0000-01-01T08:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T08:60:00Z',
    '2016-12-31T23:59:60Z',
    '2026-11-21T08:00:00+24:00',
    '2026-11-21T08:00:00+02:60',
  ])('%s is no point in time', (ts) => expect(outcome(plain, line({ ts }))).toEqual(['timestamp_impossible']));

  test.each(['21.11.2026', '2026-11-21', 'now', '2026-1-1T08:00:00Z'])('%s is no timestamp', (ts) =>
    expect(outcome(plain, line({ ts }))).toEqual(['timestamp_invalid']),
  );
});

describe('what is wrong with a line', () => {
  test('all of it is named at once', () =>
    expect(outcome(plain, line({ ts: '2026-02-30T08:00:00Z', severity: 'LOUD', module: '' }))).toEqual([
      'timestamp_impossible',
      'severity_unknown',
      'module_empty',
    ]));
  test.each([
    ['nor is a longer word', line({ severity: 'INFOS' }), ['severity_unknown']],
    ['an empty module', line({ module: '' }), ['module_empty']],
    ['no module', '2026-11-21T08:00:00Z INFO ready', ['severity_unknown', 'module_missing']],
    ['cut behind the severity', '2026-11-21T08:00:00Z INFO', ['severity_unknown', 'module_missing']],
    ['cut in the module', '2026-11-21T08:00:00Z INFO [ap', ['module_unclosed']],
    ['cut in the timestamp', '2026-11-21T08', ['timestamp_invalid', 'severity_missing', 'module_missing']],
    [
      'a stack trace',
      '\tat java.lang.Thread.run(Thread.java:748)',
      ['timestamp_invalid', 'severity_unknown', 'module_missing'],
    ],
  ])('%s', (_, text, codes) => expect(outcome(plain, text)).toEqual(codes));

  test('no time, but the rest is right', () =>
    expect(outcome(plain, ' INFO [api] ready')).toEqual(['timestamp_missing']));
});

describe('bytes', () => {
  test('an empty file gives no chunk', () => expect(readAll(plain, '').chunks).toEqual([]));
  test('a last line without a newline is a record', () =>
    expect(readAll(plain, `${line()}\n${line({ message: 'last' })}`).rows.map(({ message }) => message)).toEqual([
      'ready',
      'last',
    ]));
  test('CRLF ends a line as LF does', () =>
    expect(readAll(plain, `${line()}\r\n${line()}\r\n`).rows.map(({ message, offset }) => [message, offset])).toEqual([
      ['ready', 0],
      ['ready', line().length + 2],
    ]));
  test('an empty message is a message', () => expect(row(line({ message: '' })).message).toBe(''));
  test('blank lines are skipped and counted', () => {
    const { rows, skipped, chunks } = readAll(plain, `\n${line()}\n \t\r\n\n`);
    expect([rows.length, skipped, chunks[0]!.lines, rows[0]!.line]).toEqual([1, 3, 4, 2]);
  });
  test('a byte order mark before the first line is no part of it', () =>
    expect(row(`\ufeff${line()}`)).toMatchObject({ offset: 0, message: 'ready' }));
  test('NUL rejects its line and no other', () => {
    const { rows, rejects } = readAll(plain, `${line()}\n${line({ message: 'a\0b' })}\n${line()}\n`);
    expect([rows.length, rejects.map(({ code, line: at }) => [code, at])]).toEqual([2, [['nul_byte', 2]]]);
  });
  test('invalid UTF-8 rejects its line and no other, and says what else is wrong', () => {
    const bad = Buffer.concat([Buffer.from(line({ severity: 'LOUD' })), Buffer.from([0xc3, 0x28]), Buffer.from('\n')]);
    const { rows, rejects } = readAll(plain, Buffer.concat([Buffer.from(`${line()}\n`), bad, Buffer.from(line())]));
    expect(rows).toHaveLength(2);
    expect(rejects.map(({ violations }) => violations.map(({ code }) => code))).toEqual([
      ['utf8_invalid', 'severity_unknown'],
    ]);
    expect(Buffer.from(rejects[0]!.raw)).toEqual(bad.subarray(0, -1));
  });
  test.each([[1 << 20], [9000, 1], [50_000]])(
    'bad bytes among many lines cost their lines only, however the bytes come (%s)',
    (...feed) => {
      const bad = new Map<number, number>();
      const lines = Array.from({ length: 40_000 }, (_, index) => {
        const bytes = Buffer.from(`${line({ message: `m${index} é` })}\n`);
        // Alone, in pairs, and in runs that cross every border of what is checked at once.
        if (index % 997 === 0 || index % 991 === 1 || (index > 20_000 && index < 20_300)) {
          bytes[bytes.length - 4] = index % 2 === 0 ? 0 : 0xff;
          bad.set(index + 1, index % 2);
        }
        return bytes;
      });
      const { rows, rejects } = readAll(plain, Buffer.concat(lines), { feed, recordsMax: 5000 });
      expect(rejects.map((reject) => [reject.line, reject.code])).toEqual(
        [...bad].map(([at, odd]) => [at, odd === 0 ? 'nul_byte' : 'utf8_invalid']),
      );
      expect(rows).toHaveLength(40_000 - bad.size);
    },
  );
  test('text beyond ASCII is kept', () =>
    expect(row(line({ module: 'zähler', message: '東京 🚀' }))).toMatchObject({
      module: 'zähler',
      message: '東京 🚀',
    }));
});

describe('a reject', () => {
  test('says where its record is and keeps its bytes', () => {
    const bad = line({ severity: 'LOUD' });
    const { rejects } = readAll(plain, `${line()}\n${bad}\r\n`);
    expect(rejects).toEqual([
      {
        offset: line().length + 1,
        length: bad.length + 2,
        line: 2,
        raw: new Uint8Array(Buffer.from(`${bad}\r`)),
        rawWhole: true,
        rawSha256: new Uint8Array(createHash('sha256').update(`${bad}\r`).digest()),
        code: 'severity_unknown',
        violations: [
          {
            field: 'severity',
            code: 'severity_unknown',
            message:
              '"LOUD" is none of INFO, WARN, ERROR, TRACE, DEBUG, NOTICE, CRITICAL, ALERT, EMERGENCY, FATAL, PANIC.',
          },
        ],
      },
    ]);
  });
  test('keeps 64 KiB and the hash of the whole', () => {
    const bad = line({ severity: 'LOUD', message: 'x'.repeat(100_000) });
    const [reject] = readAll(plain, bad).rejects;
    expect([reject!.raw.length, reject!.rawWhole, reject!.length]).toEqual([65_536, false, bad.length]);
    expect(Buffer.from(reject!.rawSha256)).toEqual(createHash('sha256').update(bad).digest());
  });
  test.each([[200], [4096, 1], [1 << 20]])(
    'of a record that is too long is the same however its bytes come (%s)',
    (...feed) => {
      const long = line({ message: 'y'.repeat(5_000_000) });
      const { rejects, rows, chunks } = readAll(plain, `${line()}\n${long}\n${line()}\n`, {
        feed,
        recordBytesMax: 4096,
      });
      expect(rows.map((each) => each.line)).toEqual([1, 3]);
      expect(rejects).toMatchObject([
        { code: 'record_too_long', offset: line().length + 1, length: long.length + 1, line: 2, rawWhole: false },
      ]);
      expect(Buffer.from(long).subarray(0, 65_536).equals(rejects[0]!.raw)).toBe(true);
      expect(Buffer.from(rejects[0]!.rawSha256)).toEqual(createHash('sha256').update(long).digest());
      expect(chunks.at(-1)!.to).toBe(long.length + 2 * line().length + 3);
    },
    60_000,
  );
  test('is not made of a record that just fits', () => {
    const text = line({ message: 'z'.repeat(1000) });
    expect(readAll(plain, `${text}\n`, { recordBytesMax: text.length + 1 }).rows).toHaveLength(1);
    expect(readAll(plain, `${text}\n`, { recordBytesMax: text.length }).rejects).toHaveLength(1);
  });
});
