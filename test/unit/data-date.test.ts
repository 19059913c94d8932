// What is promised here: the data date is the last complete period of the pipeline's own calendar, whatever the clocks do.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultDataDate, isComplete, readDataDate } from '../../src/model/data-date.ts';

const at = (iso: string): number => Date.parse(iso);
const berlin = { name: 'p', timezone: 'Europe/Berlin' } as const;

describe('the default data date', () => {
  it.each([
    ['a day in UTC', { name: 'p', every: 'day' }, '2026-11-22T00:00:00Z', '2026-11-21'],
    ['the last moment of a day', { name: 'p', every: 'day' }, '2026-11-21T23:59:59.999Z', '2026-11-20'],
    ['a day that is over in Berlin and not in UTC', { ...berlin, every: 'day' }, '2026-11-21T23:30:00Z', '2026-11-21'],
    [
      'a day in Los Angeles',
      { name: 'p', every: 'day', timezone: 'America/Los_Angeles' },
      '2026-11-22T07:59:00Z',
      '2026-11-20',
    ],
    ['two days back', { name: 'p', every: 'day', offset: 2 }, '2026-11-22T10:00:00Z', '2026-11-19'],
    ['over the end of a year', { name: 'p', every: 'day' }, '2026-01-01T00:00:01Z', '2025-12-31'],
    ['the day after a leap day', { name: 'p', every: 'day' }, '2028-03-01T12:00:00Z', '2028-02-29'],
    ['the day of 25 hours', { ...berlin, every: 'day' }, '2026-10-25T23:30:00Z', '2026-10-25'],
    ['the day of 23 hours', { ...berlin, every: 'day' }, '2026-03-29T22:30:00Z', '2026-03-29'],
    ['an hour in UTC', { name: 'p', every: 'hour' }, '2026-11-21T14:00:00Z', '2026-11-21T13'],
    ['an hour in Berlin', { ...berlin, every: 'hour' }, '2026-11-21T14:10:00Z', '2026-11-21T14+0100'],
    [
      'the first 2 o’clock of the long night',
      { ...berlin, every: 'hour' },
      '2026-10-25T01:10:00Z',
      '2026-10-25T02+0200',
    ],
    [
      'the second 2 o’clock of the long night',
      { ...berlin, every: 'hour' },
      '2026-10-25T02:10:00Z',
      '2026-10-25T02+0100',
    ],
    [
      'the hour before the short night’s gap',
      { ...berlin, every: 'hour' },
      '2026-03-29T01:10:00Z',
      '2026-03-29T01+0100',
    ],
    [
      'an hour where the zone is half an hour off',
      { name: 'p', every: 'hour', timezone: 'Asia/Kolkata' },
      '2026-11-21T14:40:00Z',
      '2026-11-21T19+0530',
    ],
    ['no period', { name: 'p', every: 'none' }, '2026-11-21T14:40:00Z', 'none'],
  ] as const)('is right for %s', (_case, spec, now, date) => {
    expect(defaultDataDate(spec, at(now))).toBe(date);
  });

  it('is complete, and the next one is not; it never goes back as time goes on', () => {
    const zones = [
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Australia/Lord_Howe',
      'Asia/Kathmandu',
      'Pacific/Apia',
      'America/Sao_Paulo',
    ];
    const years = { min: at('2024-01-01T00:00:00Z'), max: at('2028-01-01T00:00:00Z') };
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer(years),
        fc.integer({ min: 0, max: 7_200_000 }),
        (timezone, now, later) => {
          const spec = { name: 'p', every: 'day', timezone } as const;
          const date = defaultDataDate(spec, now);
          const today = defaultDataDate({ ...spec, offset: -1 }, now);
          return (
            isComplete(spec, date, now) && !isComplete(spec, today, now) && date <= defaultDataDate(spec, now + later)
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives every hour around both changes of the clocks one name, which reads back as itself', () => {
    const spec = { ...berlin, every: 'hour' } as const;
    for (const change of ['2026-03-28T12:30:00Z', '2026-10-24T12:30:00Z']) {
      const names = Array.from({ length: 36 }, (_none, hour) => defaultDataDate(spec, at(change) + hour * 3_600_000));
      expect(new Set(names).size).toBe(36);
      for (const name of names) expect(readDataDate(spec, name)).toEqual({ date: name });
    }
  });

  it('names a time zone that does not exist', () => {
    expect(() => defaultDataDate({ name: 'p', every: 'day', timezone: 'Mars/Base' }, 0)).toThrow(
      /Pipeline p names the time zone "Mars\/Base"/,
    );
  });
});

describe('a data date as a person writes it', () => {
  it.each(['2026-02-30', '2026-13-01', '21.11.2026', 'yesterday', '2026-11-21T13', ''])(
    'is refused as a day: "%s"',
    (written) => {
      expect(readDataDate({ name: 'p', every: 'day' }, written)).toEqual({
        fault: `--date "${written}" is no day; write it as 2026-11-21.`,
      });
    },
  );

  it('is an hour in its one spelling, and an hour that happens twice has to be named', () => {
    const spec = { ...berlin, every: 'hour' } as const;
    expect(readDataDate(spec, '2026-11-21T13')).toEqual({ date: '2026-11-21T13+0100' });
    expect(readDataDate(spec, '2026-10-25T02+01:00')).toEqual({ date: '2026-10-25T02+0100' });
    expect(readDataDate(spec, '2026-10-25T02')).toEqual({
      fault:
        '--date "2026-10-25T02" happens twice in Europe/Berlin, because the clocks go back; write 2026-10-25T02+0200 or 2026-10-25T02+0100.',
    });
    expect(readDataDate(spec, '2026-03-29T02')).toEqual({
      fault: '--date "2026-03-29T02" does not happen in Europe/Berlin.',
    });
    expect(readDataDate({ name: 'p', every: 'hour' }, '2026-11-21T13Z')).toEqual({ date: '2026-11-21T13' });
  });

  it('means nothing to a pipeline without periods', () => {
    expect(readDataDate({ name: 'p', every: 'none' }, '2026-11-21')).toHaveProperty('fault');
  });
});
