// What is promised here: times are words with a unit; what is no time is told, never guessed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inWords, ms, parseDuration, type Duration } from '../../src/model/duration.ts';

describe('a duration', () => {
  it.each([
    ['30 seconds', 30_000],
    ['1 second', 1_000],
    ['1 hour', 3_600_000],
    ['2 days', 172_800_000],
    ['0.5 seconds', 500],
    ['250 milliseconds', 250],
    ['10m', 600_000],
    ['5 s', 5_000],
    ['90ms', 90],
    [' 3h ', 10_800_000],
  ])('%j is %i ms', (text, expected) => expect(parseDuration(text)).toBe(expected));

  it.each([
    '',
    '30',
    '30 minuets',
    '-5 seconds',
    '1e3 seconds',
    '0x10 seconds',
    '5 hs',
    '5 mss',
    'soon',
    '1 2 s',
    '.5 s',
    'NaN s',
  ])('%j is none', (text) => expect(parseDuration(text)).toBeUndefined());

  it('that a cast brought here is refused with an example', () => {
    expect(() => ms('soon' as Duration)).toThrow('"soon" is not a duration; write for example \'30 seconds\'.');
  });

  it.each([
    [0, '0 ms'],
    [999.4, '999 ms'],
    [1_000, '1.0 s'],
    [12_345, '12 s'],
    [59_999, '1 min'],
    [250_000, '4 min 10 s'],
    [3_600_000, '1 h'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
    [-5, '0 ms'],
  ])('of %d ms reads %j', (value, expected) => expect(inWords(value)).toBe(expected));

  it('reads as something for every number, and never with a unit that is full', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.nat(), fc.integer({ min: 0, max: 1e12 })), (value) => {
        const words = inWords(value);
        expect(words).not.toMatch(/NaN|Infinity|undefined|\b60 (s|min)|\b24 h|\b1000 ms|10\.0 s/);
        expect(words.length).toBeGreaterThan(2);
      }),
    );
  });
});
