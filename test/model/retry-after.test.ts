// What is promised here: what an answer asks for is understood in every form in use, is never undercut, and nonsense asks for nothing.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { httpDate, waitAsked } from '../../src/model/retry-after.ts';

const now = Date.UTC(2019, 5, 3, 11, 0, 0);
const DAY_MS = 86_400_000;
const asked = (value: string | readonly string[], more: object = {}, options: object = {}) =>
  waitAsked({ 'Retry-After': value, ...more }, { now, ...options });

describe('Retry-After', () => {
  it.each<[string, number]>([
    ['0', 0],
    ['1', 1_000],
    ['3600', 3_600_000],
    ['007', 7_000],
    [' \t42 ', 42_000],
    ['Mon, 03 Jun 2019 11:30:12 GMT', 1_812_000],
    ['Mon, 3 Jun 2019 12:00:00 UTC', 3_600_000],
    ['Monday, 03-Jun-19 12:00:00 GMT', 3_600_000],
    ['Mon Jun  3 12:00:00 2019', 3_600_000],
    ['Mon Jun 13 12:00:00 2019', 10 * DAY_MS + 3_600_000],
    ['Mon, 03 Jun 2019 11:59:60 GMT', 3_600_000],
    ['Sun, 02 Jun 2019 12:00:00 GMT', 0],
    ['Mon, 03 Jun 2019 11:00:00 GMT', 0],
  ])('"%s" asks for %i ms', (value, expected) => expect(asked(value, {}, { maxMs: 365 * DAY_MS })).toBe(expected));

  it.each([
    '',
    ' ',
    '-1',
    '1.0',
    '+5',
    '1e3',
    '0x10',
    '٣',
    '12 34',
    '10s',
    'soon',
    'NaN',
    '99999999999999999999',
    '1e9',
    '[1]',
    'Mon, 03 Jun 2019 11:30:12',
    'Mon, 03 Jun 2019 11:30:12 CEST',
    'Mon, 03 Jun 2019 24:00:00 GMT',
    'Mon, 31 Jun 2019 11:30:12 GMT',
    'Mon, 03 Foo 2019 11:30:12 GMT',
    'Mon, 03 Jun 19 11:30:12 GMT',
    '2019-06-03T11:30:12Z',
    'Fri, 31 Dec 9999 23:59:59 GMT',
  ])('"%s" asks for nothing', (value) => expect(asked(value)).toBeUndefined());

  it('is clamped to the maximum, a week if none is given', () => {
    expect(asked('21601', {}, { maxMs: 21_600_000 })).toBe(21_600_000);
    expect(asked(String(30 * 86_400))).toBe(7 * DAY_MS);
  });

  it('as a date is compared with the clock of whoever wrote it', () => {
    const date = 'Mon, 03 Jun 2019 13:00:00 GMT';
    // Their clock is an hour ahead of ours, so this is one hour from now, not two.
    expect(asked(date, { Date: 'Mon, 03 Jun 2019 12:00:00 GMT' })).toBe(3_600_000);
    expect(asked(date, {}, { dateHeader: 'Mon, 03 Jun 2019 12:30:00 GMT' })).toBe(1_800_000);
    expect(asked(date, { Date: 'yesterday' })).toBe(7_200_000);
    expect(waitAsked({ 'retry-after': date })).toBeUndefined();
    expect(waitAsked({ 'retry-after': '5' })).toBe(5_000);
  });

  it('in seconds counts from when the answer came', () => {
    expect(asked('60', {}, { receivedAt: now - 20_000 })).toBe(40_000);
    expect(asked('60', {}, { receivedAt: now - 90_000 })).toBe(0);
    expect(asked('60', {}, { receivedAt: now + 5_000 })).toBe(60_000);
  });

  it('sent twice asks for the longer wait', () => {
    expect(asked(['5', '60'])).toBe(60_000);
    expect(asked('5, 60')).toBe(60_000);
    expect(asked(['nonsense', '7'])).toBe(7_000);
  });

  it('counts on 413, 429 and 503 only, or where configured', () => {
    for (let status = 300; status < 600; status++)
      expect(asked('5', {}, { status }), String(status)).toBe([413, 429, 503].includes(status) ? 5_000 : undefined);
    expect(asked('5', {}, { status: 500, statuses: new Set([500]) })).toBe(5_000);
  });

  it('is read from Headers as from an object, whatever its case', () => {
    expect(waitAsked(new Headers({ 'Retry-After': '9' }))).toBe(9_000);
    expect(waitAsked({ 'RETRY-AFTER': '9' })).toBe(9_000);
    expect(waitAsked({ 'retry-after': 9 })).toBe(9_000);
    expect(waitAsked({ 'retry-after': undefined })).toBeUndefined();
  });
});

describe('a rate limit', () => {
  it.each<[string, Record<string, string>, number | undefined]>([
    ['a length', { 'X-RateLimit-Reset': '30' }, 30_000],
    ['a moment in seconds', { 'X-RateLimit-Reset': String(now / 1_000 + 45) }, 45_000],
    ['a moment in ms', { 'X-RateLimit-Reset': String(now + 45_000) }, 45_000],
    ['the name without X', { 'RateLimit-Reset': '12' }, 12_000],
    ['a fraction', { 'X-RateLimit-Reset': '1.5' }, 1_500],
    ['the draft', { RateLimit: '"default";r=0;t=30' }, 30_000],
    ['the draft with calls left', { RateLimit: '"default";r=7;t=30' }, undefined],
    ['calls left', { 'X-RateLimit-Reset': '30', 'X-RateLimit-Remaining': '57' }, undefined],
    ['no calls left', { 'X-RateLimit-Reset': '30', 'X-RateLimit-Remaining': '0' }, 30_000],
    ['a moment gone by', { 'X-RateLimit-Reset': String(now / 1_000 - 45) }, 0],
    ['nonsense', { 'X-RateLimit-Reset': 'later' }, undefined],
    ['a moment in the far future', { 'X-RateLimit-Reset': '99999999999999999' }, undefined],
    ['Retry-After beside it, which wins', { 'X-RateLimit-Reset': '30', 'Retry-After': '5' }, 5_000],
    ['a Retry-After that is nonsense', { 'X-RateLimit-Reset': '30', 'Retry-After': 'soon' }, 30_000],
  ])('%s', (_name, headers, expected) => expect(waitAsked(headers, { now, status: 429 })).toBe(expected));
});

describe('a date of HTTP', () => {
  it('is the same moment in all three forms', () => {
    for (const form of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])
      expect(httpDate(form), form).toBe(Date.UTC(1994, 10, 6, 8, 49, 37));
    expect(httpDate('Thursday, 01-Jan-68 00:00:00 GMT')).toBe(Date.UTC(2068, 0, 1));
  });

  it('written by us is read back, and what is asked is never undercut', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 * 86_400 }),
        fc.integer({ min: -86_400, max: 86_400 }),
        (seconds, skew) => {
          const theirs = now + skew * 1_000;
          const date = new Date(theirs).toUTCString();
          const until = new Date(theirs + seconds * 1_000).toUTCString();
          expect(asked(until, { Date: date })).toBe(seconds * 1_000);
          expect(asked(String(seconds))).toBe(seconds * 1_000);
        },
      ),
    );
  });

  it('and a header may be anything without harm', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (value, date) => {
        const wait = asked(value, { date, 'x-ratelimit-reset': value, ratelimit: value });
        expect(wait === undefined || (wait >= 0 && wait <= 7 * DAY_MS)).toBe(true);
      }),
    );
  });
});

describe('errors of clients that carry an answer', () => {
  const headers = { 'retry-after': '120', date: new Date(now).toUTCString() };
  it.each<[string, object, string, number | undefined]>([
    ['undici', { statusCode: 503, headers }, 'http_503_retry_after', 120_000],
    ['fetch', { status: 429, headers: new Headers(headers) }, 'http_429', 120_000],
    ['axios', { code: 'ERR_BAD_RESPONSE', response: { status: 503, headers } }, 'http_503_retry_after', 120_000],
    [
      'a date without a clock to compare',
      { status: 429, headers: { 'retry-after': 'Mon, 03 Jun 2019 12:00:00 GMT' } },
      'http_429',
      undefined,
    ],
    ['a 413 that is over later', { status: 413, headers }, 'http_503_retry_after', 120_000],
    ['a 403 that counts calls', { status: 403, headers: { 'x-ratelimit-remaining': '0' } }, 'http_429', undefined],
    ['a 403 with a wait', { status: 403, headers }, 'http_429', 120_000],
    ['a 403 that is one', { status: 403, headers: { date: headers.date } }, 'http_403', undefined],
    ['a 503 that says "at once"', { status: 503, headers: { 'retry-after': '0' } }, 'http_503', 0],
    ['a 503 with nonsense', { status: 503, headers: { 'retry-after': '-1' } }, 'http_503', undefined],
    ['a 500 with decoration', { status: 500, headers }, 'http_500', undefined],
  ])('%s', (_name, shape, code, nextDelayMs) => {
    const named = classify(Object.assign(new Error('x'), shape));
    expect({ code: named.code, nextDelayMs: named.nextDelayMs }).toEqual({ code, nextDelayMs });
  });

  it('use the clock they are given where the answer has none', () => {
    const error = Object.assign(new Error('x'), {
      status: 429,
      headers: { 'retry-after': 'Mon, 03 Jun 2019 12:00:00 GMT' },
    });
    expect(classify(error, { now }).nextDelayMs).toBe(3_600_000);
  });
});
