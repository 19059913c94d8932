// What lives here: which texts are points in time, and what is said of those that can be two.
// Invariant: what is expected was worked out by hand or taken from the layout's documentation, never from our own reader.
// Apart because every text format reads its times this way.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { momentIn, YEAR_SLACK_DAYS, yearOf } from '../../../src/flow/parse/moment.ts';
import { dayOfDataDate } from '../../../src/flow/parse/time.ts';

const day = (date: string): number => dayOfDataDate(date)!;
const options = { east: 0, dataDay: day('2026-11-21') };
/** As ISO with microseconds, or the code of what is wrong. */
function read(text: string, more: Partial<typeof options> = {}): string {
  const at = momentIn(text, { ...options, ...more });
  if ('code' in at) return at.code;
  return `${new Date((at.seconds + 946_684_800) * 1000).toISOString().slice(0, 19)}.${String(at.micros).padStart(6, '0')}`;
}
const eight = '2026-11-21T08:00:00.000000';

describe('is read', () => {
  test.each([
    ['2026-11-21T08:00:00Z', eight],
    ['20261121080000123', '2026-11-21T08:00:00.123000'],
    ['20261121080000.123456', '2026-11-21T08:00:00.123456'],
    ['20261121T080000,123', '2026-11-21T08:00:00.123000'],
    ['20131121080000123', '2013-11-21T08:00:00.123000'],
    ['2026-11-21 08:00:00,123', '2026-11-21T08:00:00.123000'],
    ['2026-11-21T08:00:00+0200', '2026-11-21T06:00:00.000000'],
    ['2026-11-21 08:00:00 +0200', '2026-11-21T06:00:00.000000'],
    ['2026-11-21T08:00:00+02', '2026-11-21T06:00:00.000000'],
    ['2026-11-21T08:00:00.5-03:30', '2026-11-21T11:30:00.500000'],
    ['2026-11-21 08:00:00 UTC', eight],
    ['2026-11-21 08:00:00.123 +0000 UTC', '2026-11-21T08:00:00.123000'],
    ['2026-11-21 08:00:00.123456789 +0100 CET m=+0.000012', '2026-11-21T07:00:00.123456'],
    ['2026-11-21T08:00Z', eight],
    ['2026-11-21T08:00:00.1234567891Z', '2026-11-21T08:00:00.123456'],
    ['2026-11-21T08:00:00+01:00[Europe/Berlin]', '2026-11-21T07:00:00.000000'],
    ['20261121T080000Z', eight],
    ['20261121T080000.25+0100', '2026-11-21T07:00:00.250000'],
    ['2026-11-21T24:00:00Z', '2026-11-22T00:00:00.000000'],
    ['2026-325T08:00:00Z', eight],
    ['2026-W47-6T08:00:00Z', eight],
    ['2020-W53-5T00:00:00Z', '2021-01-01T00:00:00.000000'],
    ['2026/11/21 08:00:00', eight],
    ['2026/11/21 08:00:00.250', '2026-11-21T08:00:00.250000'],
    ['21/Nov/2026:08:00:00 +0000', eight],
    ['Sat, 21 Nov 2026 08:00:00 GMT', eight],
    ['21 Nov 2026 08:00:00 -0500', '2026-11-21T13:00:00.000000'],
    ['Sat, 21 Nov 2026 08:00:00 EST', '2026-11-21T13:00:00.000000'],
    ['Saturday, 21-Nov-26 08:00:00 GMT', eight],
    ['Sat Nov 21 08:00:00 2026', eight],
    ['Sat Nov 21 08:00:00.123456 2026', '2026-11-21T08:00:00.123456'],
    ['Sat Nov 21 08:00:00 UTC 2026', eight],
    ['Nov 21, 2026 8:00:00 PM', '2026-11-21T20:00:00.000000'],
    ['Nov 21, 2026 12:00:00 AM', '2026-11-21T00:00:00.000000'],
    ['21 Nov 2026 08:00:00,123', '2026-11-21T08:00:00.123000'],
    ['21-Nov-2026 08:00:00.123', '2026-11-21T08:00:00.123000'],
    ['21.11.2026 08:00:00', eight],
    ['21/11/2026 08:00:00', eight],
    ['11/21/2026 08:00:00 AM', eight],
    ['5/5/2026 08:00:00', '2026-05-05T08:00:00.000000'],
    ['Sat Nov 21 2026 08:00:00 GMT+0100 (Central European Standard Time)', '2026-11-21T07:00:00.000000'],
    ['1795248000', eight],
    ['1795248000.5', '2026-11-21T08:00:00.500000'],
    ['1795248000.123456', '2026-11-21T08:00:00.123456'],
    ['1795248000123', '2026-11-21T08:00:00.123000'],
    ['1795248000123.456', '2026-11-21T08:00:00.123456'],
    ['1795248000123456', '2026-11-21T08:00:00.123456'],
    ['1795248000123456789', '2026-11-21T08:00:00.123456'],
    ['0', '1970-01-01T00:00:00.000000'],
    ['08:00:00,123', '2026-11-21T08:00:00.123000'],
    ['Jan  5 10:00:00', '2026-01-05T10:00:00.000000'],
    ['  2026-11-21T08:00:00Z ', eight],
  ])('%s', (text, expected) => expect(read(text)).toBe(expected));
  test('what states no zone is in the declared one', () =>
    expect(read('2026-11-21 08:00:00', { east: 7200 })).toBe('2026-11-21T06:00:00.000000'));
});

describe('is refused, and says why', () => {
  test.each([
    ['', 'timestamp_missing'],
    ['xxx', 'timestamp_invalid'],
    ['12ms', 'timestamp_invalid'],
    ['2026-02-30T08:00:00Z', 'timestamp_impossible'],
    ['2026-11-21T25:00:00Z', 'timestamp_impossible'],
    ['2026-11-21T24:00:01Z', 'timestamp_impossible'],
    ['2026-11-21T08:60:00Z', 'timestamp_impossible'],
    ['2026-366T08:00:00Z', 'timestamp_impossible'],
    ['2026-000T08:00:00Z', 'timestamp_impossible'],
    ['Feb 30 08:00:00', 'timestamp_impossible'],
    ['1'.repeat(40), 'timestamp_invalid'],
    ['9'.repeat(4000), 'timestamp_invalid'],
  ])('%s', (text, code) => expect(read(text)).toBe(code));
  test.each([
    ['134402328000000000', 'ticks of Windows'],
    ['639000000000000000', 'ticks of Windows'],
    ['03/04/2026 08:00:00', '3 may be the day and 4 the month'],
    ['03/04/26 08:00:00', 'two digits'],
    ['2026-11-21 08:00:00 IST', '"IST"'],
    ['-1', 'so small'],
    ['86400', 'so small'],
    ['2026-11-21', 'no time'],
  ])('%s is ambiguous: %s', (text, why) =>
    expect(momentIn(text, options)).toMatchObject({
      code: 'timestamp_ambiguous',
      message: expect.stringContaining(why) as string,
    }),
  );
});

describe('a year that is not stated', () => {
  test.each([
    ['2026-11-27', 1, 5, 2026],
    ['2026-11-27', 3, 5, 2026],
    ['2026-11-27', 5, 25, 2026],
    ['2026-11-27', 11, 26, 2026],
    ['2026-11-27', 11, 30, 2026],
    ['2026-11-27', 12, 25, 2025],
    ['2027-01-01', 12, 31, 2026],
    ['2026-12-31', 1, 1, 2027],
    ['2027-01-02', 1, 2, 2027],
    ['2026-01-01', 1, 1, 2026],
    ['2024-02-29', 2, 29, 2024],
    ['2027-03-01', 2, 29, 2024],
    ['2103-06-01', 2, 29, 2096],
  ])('on %s, month %i day %i was in %i', (date, month, at, year) => expect(yearOf(day(date), month, at)).toBe(year));
  test('there is none for a day that no year has', () => expect(yearOf(day('2026-11-27'), 2, 30)).toBeUndefined());
  test('is never one that puts the line after the data date and its slack, nor one too early', () => {
    fc.assert(
      fc.property(fc.integer({ min: -9000, max: 36_000 }), fc.integer({ min: 0, max: 365 }), (dataDay, back) => {
        const then = new Date(Date.UTC(2000, 0, 1 + dataDay + YEAR_SLACK_DAYS - back));
        const year = yearOf(dataDay, then.getUTCMonth() + 1, then.getUTCDate())!;
        // A year is at most 366 days, so the same day may come twice at both ends of it.
        expect([then.getUTCFullYear(), then.getUTCFullYear() + 1]).toContain(year);
        const found = Date.UTC(year, then.getUTCMonth(), then.getUTCDate());
        expect(found).toBeLessThanOrEqual(Date.UTC(2000, 0, 1 + dataDay + YEAR_SLACK_DAYS));
        if (back < 365) expect(year).toBe(then.getUTCFullYear());
      }),
    );
  });
});
