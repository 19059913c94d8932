// What is promised here: why a process ended is told by what it said at its end, never by what it said long before.
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { lastWordsOf } from '../../src/stack/keeper/last-words.ts';

const dir = mkdtempSync(join(tmpdir(), 'mendflow-words-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const endedAt = Date.now();
const none = 'It left no message: it was killed, or ended without one.';
/** What is told of a log that ends with these lines, the last of them so old at the end. */
const told = (lines: readonly string[], ageMs: number): string => {
  const file = join(dir, 'a.log');
  writeFileSync(file, `${lines.join('\n')}\n`);
  utimesSync(file, (endedAt - ageMs) / 1_000, (endedAt - ageMs) / 1_000);
  return lastWordsOf(file, endedAt);
};
const error = (ageMs: number): string => JSON.stringify({ level: 50, time: endedAt - ageMs, msg: 'out of memory' });

it('quotes what was written within seconds before the end', () => {
  expect(told(['first', 'panic: disk full'], 2_000)).toBe('Its last message: panic: disk full');
  expect(told([error(1_000)], 1_000)).toBe('Its last message: out of memory');
});

it('quotes nothing that is older', () => {
  expect(told(['WARN a poll was late'], 18 * 60_000)).toBe(none);
  const info = JSON.stringify({ level: 30, time: endedAt, msg: 'polls' });
  expect(told([error(18 * 60_000), info], 0)).toBe(none);
  expect(lastWordsOf(join(dir, 'no.log'), endedAt)).toBe(none);
});
