// What lives here: holes of NULs in a log, as crashes and truncated files leave them.
// Invariant: a hole costs the line that it tore and nothing behind it, whatever its size; memory does not grow with it.
// Apart because a hole is the one thing that ends a record without a line end.
import { describe, expect, test } from 'vitest';
import { log4j } from '../../../src/flow/formats/log4j.ts';
import { plain } from '../../../src/flow/formats/plain.ts';
import { syslog } from '../../../src/flow/formats/syslog.ts';
import { readAll } from './read.ts';

const line = (message: string): string => `2026-11-21T08:00:00.000Z INFO [app] ${message}`;
const nul = (count: number): string => '\0'.repeat(count);

describe.each([16, 100, 4096, 5000, 70_000, 3_000_000])('a hole of %i bytes', (size) => {
  test.each([
    ['between lines', `${line('a')}\n${nul(size)}${line('b')}\n`, ['a', 'b'], 2, 2],
    ['in a line', `${line('a')}\n2026-11-21T08:00:00Z INFO [ap${nul(size)}${line('b')}\n`, ['a', 'b'], 2, 2],
    ['with a line end behind it', `${line('a')}\n${nul(size)}\n${line('b')}\n`, ['a', 'b'], 2, 3],
    ['before the first line', `${nul(size)}${line('b')}\n`, ['b'], 1, 1],
    ['at the end', `${line('a')}\n${nul(size)}`, ['a'], 2, 0],
  ])('%s is one letter, and what is behind it a row', (_, text, messages, hole, last) => {
    for (const feed of size > 5000 ? [[1 << 20], [999_999, 3]] : [[1 << 20], [7], [1000, 1]]) {
      const { rows, rejects, skipped, chunks } = readAll(plain, text, { feed, recordBytesMax: 65_536 });
      expect(rows.map(({ message }) => message)).toEqual(messages);
      expect(rejects.map(({ code, line: at }) => [code, at])).toEqual([['nul_byte', hole]]);
      expect(rejects[0]!.length).toBeGreaterThanOrEqual(size);
      if (last > 0) expect(rows.at(-1)!.line).toBe(last);
      expect(skipped).toBe(text.includes('\0\n') ? 1 : 0);
      expect(chunks.at(-1)!.to).toBe(text.length);
    }
  });
});

test('a hole between records of several lines costs none of them, one in a line its record alone', () => {
  const head = '[2026-11-21 08:00:00,123] ERROR x (a.B)';
  const { rows, rejects } = readAll(log4j, `${head}\n\tat a\n${nul(50)}${head}\n\tat b\ntorn${nul(50)}${head}\n`);
  expect(rows.map(({ message }) => message)).toEqual(['x\n\tat a', 'x']);
  expect(rejects).toHaveLength(2);
});

test.each([16, 100, 5000, 200_000])(
  'behind a hole of %i bytes in a later line of a record, lines keep their numbers',
  (size) => {
    const head = '[2026-11-21 08:00:00,123] ERROR x (a.B)';
    for (const torn of ['t', '\tat a\nt', '\tat a\n\tat b\n\tat c\n\u0001'])
      for (const recordBytesMax of [50, 1000, 100_000])
        for (const feed of size > 5000 ? [[65_536], [999]] : [[1], [7], [1 << 20]]) {
          const { rows } = readAll(log4j, `${head}\n${torn}${nul(size)}${head}\n`, { feed, recordBytesMax });
          expect(rows.at(-1)!.line, `${size} ${recordBytesMax} ${feed.join()} ${torn}`).toBe(
            1 + torn.split('\n').length,
          );
        }
  },
);

test('a few NULs in a line are a fault of the line, and of it alone', () => {
  const { rows, rejects } = readAll(
    syslog,
    `Nov 21 08:00:00 h a: x\nNov 21 08:00:00 h a: x\0\0y\nNov 21 08:00:00 h a: x\n`,
  );
  expect([rows.length, rejects.map(({ code }) => code)]).toEqual([2, ['nul_byte']]);
});
