// What lives here: points in time as loggers of all kinds write them: ISO 8601 in its forms, RFC 2822, epochs, access logs, and dates of single languages.
// Invariant: what can mean two points in time is refused with what is ambiguous about it; nothing is guessed, nothing is rounded up.
// Apart from time.ts, which reads one layout byte by byte at the speed of the file; here a text is looked at as a whole.
import type { Violation } from '../types.ts';
import { quote } from './diagnose.ts';
import { daysFrom2000, isDate } from './time.ts';
import { zoneEast } from './zones.ts';

/** A point in time, as tuples have it. */
export interface Instant {
  readonly seconds: number;
  readonly micros: number;
}

const DAY = 86_400;
const EPOCH_SECONDS = -daysFrom2000(1970, 1, 1) * DAY;

const bad = (code: string, message: string): Violation => ({ field: 'timestamp', code, message });
export const missing = (): Violation => bad('timestamp_missing', 'There is no timestamp.');
export const impossible = (text: string): Violation =>
  bad('timestamp_impossible', `${quote(text)} is no point in time.`);
const unknown = (text: string): Violation => bad('timestamp_invalid', `${quote(text)} is not a timestamp.`);
const ambiguous = (text: string, why: string): Violation =>
  bad('timestamp_ambiguous', `${quote(text)} can mean more than one point in time: ${why}.`);

/** What a pattern found, before it is known to be a point in time. */
interface Found {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly clock: string;
  readonly fraction?: string | undefined;
  readonly half?: string | undefined;
  readonly zone?: string | undefined;
}

const months = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
/** 1 to 12 from an English name or its first three letters, else 0. */
export const monthOf = (name: string): number => months.indexOf(name.slice(0, 3).toLowerCase()) + 1;

/** `8:00`, `08:00:00`, and 24:00:00, which is the next day's midnight; undefined for a time that no clock shows. */
function secondsOf(clock: string, half: string | undefined): number | undefined {
  const [hour = 0, minute = 0, second = 0] = clock.split(':').map(Number);
  if (minute > 59 || second > 59) return undefined;
  if (half !== undefined) {
    if (hour < 1 || hour > 12) return undefined;
    return ((hour % 12) + (/p/i.test(half) ? 12 : 0)) * 3600 + minute * 60 + second;
  }
  if (hour > 24 || (hour === 24 && minute + second > 0)) return undefined;
  return hour * 3600 + minute * 60 + second;
}

/** A fraction in microseconds; what is finer is cut. */
const microsOf = (fraction = ''): number => Number(fraction.padEnd(6, '0').slice(0, 6));

const MONTH = '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*';
const CLOCK = String.raw`(?<clock>\d{1,2}:\d\d(?::\d\d)?)(?:[.,](?<fraction>\d+))?(?:\s?(?<half>[ap]\.?m\.?))?`;
const ZONE = String.raw`(?:\s*\(?(?<zone>z|(?:utc|gmt)?[+-]\d{1,2}(?::?\d\d)?|[a-z]{2,5})\)?)?(?:(?<=\d)\s+[a-z]{2,5}(?:\s+m=[+-][\d.]+)?)?(?:\s*[[(][\w/ +-]+[\])])?`;
const WEEKDAY = String.raw`(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?`;
const whole = (text: string): RegExp => new RegExp(`^${text}$`, 'i');

/** Layouts in which year, month and day are told apart by their form. */
const layouts: readonly RegExp[] = [
  whole(String.raw`${WEEKDAY}(?<year>\d{4})[-/.](?<month>\d\d?)[-/.](?<day>\d\d?)(?:[t ]|\s+|, |:)${CLOCK}${ZONE}`),
  whole(
    String.raw`(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)[t ]?(?<packed>\d{6}|\d{4})(?:[.,](?<fraction>\d+))?${ZONE}`,
  ),
  whole(String.raw`(?<day>\d\d?)\/(?<name>${MONTH})\/(?<year>\d{4}):${CLOCK}${ZONE}`),
  whole(
    String.raw`${WEEKDAY}(?<day>\d\d?)[ /-](?<name>${MONTH})[ /-](?<year>\d{4}|\d\d(?=[ ]\d))[ ,:]+${CLOCK}${ZONE}`,
  ),
  whole(String.raw`${WEEKDAY}(?<name>${MONTH})\s+(?<day>\d\d?),?\s+(?<year>\d{4}),?(?:\s+(?:at|@))?\s+${CLOCK}${ZONE}`),
  whole(String.raw`(?<year>\d{4}) (?<name>${MONTH})\s+(?<day>\d\d?) ${CLOCK}${ZONE}`),
  whole(String.raw`${WEEKDAY}(?<name>${MONTH})\s+(?<day>\d\d?)\s+${CLOCK}${ZONE}\s+(?<year>\d{4})`),
  whole(String.raw`(?<day>\d\d?)\.(?<month>\d\d?)\.(?<year>\d{4})(?:t| |, )\s*${CLOCK}${ZONE}`),
];
const numeric = whole(String.raw`(?<one>\d\d?)[/-](?<two>\d\d?)[/-](?<year>\d{4}|\d\d),?\s+${CLOCK}${ZONE}`);
const ordinal = whole(String.raw`(?<year>\d{4})-?(?<yday>\d{3})t${CLOCK}${ZONE}`);
const week = whole(String.raw`(?<year>\d{4})-?w(?<week>\d\d)-?(?<weekday>[1-7])t${CLOCK}${ZONE}`);
const yearless = whole(
  String.raw`${WEEKDAY}(?:(?<name>${MONTH})\s+(?<day>\d\d?)|(?<day2>\d\d?)[ -](?<name2>${MONTH}))\s+${CLOCK}${ZONE}`,
);
const timeOnly = whole(CLOCK);
const dayOnly = /^\d{4}[-/]?\d\d[-/]?\d\d$/;

export interface MomentOptions {
  /** Seconds east of UTC of what states no zone. */
  readonly east: number;
  /** The run's data date in days from 2000-01-01, for what states no year or no day. */
  readonly dataDay: number;
}

/** Days after the data date's end that a line without a year may state: late runs and clocks of the other side of the world, never months. */
export const YEAR_SLACK_DAYS = 7;
/** Eight years lie between two leap days at most. */
const LEAP_YEARS_MAX = 8;

/**
 * The latest year in which month and day are not after the data date and its slack. A log holds what was written before it was read, so a
 * January in a log of November is this year's; only a log read in the first days of January may state December, and that was last year's.
 */
export function yearOf(dataDay: number, month: number, day: number): number | undefined {
  const last = dataDay + YEAR_SLACK_DAYS;
  const newest = new Date(Date.UTC(2000, 0, 1 + last)).getUTCFullYear();
  for (let year = newest; year >= newest - LEAP_YEARS_MAX; year--)
    if (isDate(year, month, day) && daysFrom2000(year, month, day) <= last) return year;
  return undefined;
}

export function instantOf(text: string, found: Found, east: number): Instant | Violation {
  const { year, month, day } = found;
  const seconds = secondsOf(found.clock, found.half);
  if (seconds === undefined || !isDate(year, month, day)) return impossible(text);
  const offset = found.zone === undefined ? east : zoneEast(found.zone);
  if (offset === undefined)
    return /^[a-z]/i.test(found.zone!)
      ? ambiguous(text, `"${found.zone}" is the name of no zone that has one offset everywhere; write it as +hh:mm`)
      : impossible(text);
  return { seconds: daysFrom2000(year, month, day) * DAY + seconds - offset, micros: microsOf(found.fraction) };
}

/** `03/04/2026`: day and month are told apart only where one of them is above 12. */
function numericDate(text: string, groups: Record<string, string>, east: number): Instant | Violation {
  const [one, two] = [Number(groups['one']), Number(groups['two'])];
  const year = groups['year']!;
  if (year.length === 2) return ambiguous(text, 'a year of two digits may stand anywhere in a date');
  if (one <= 12 && two <= 12 && one !== two)
    return ambiguous(text, `${one} may be the day and ${two} the month, or the other way round`);
  const [day, month] = one > 12 ? [one, two] : [two, one];
  return instantOf(text, { ...clockOf(groups), year: Number(year), month, day }, east);
}

const clockOf = (groups: Record<string, string>): Pick<Found, 'clock' | 'fraction' | 'half' | 'zone'> => ({
  clock: groups['clock'] ?? groups['packed']!.match(/\d\d/g)!.join(':'),
  fraction: groups['fraction'],
  half: groups['half'],
  zone: groups['zone'],
});

/** Years of two digits as RFC 2822 reads them. */
const fullYear = (year: string): number =>
  year.length > 2 ? Number(year) : Number(year) + (Number(year) < 50 ? 2000 : 1900);

function byDayOfYear(text: string, groups: Record<string, string>, east: number): Instant | Violation {
  const year = Number(groups['year']);
  const first = daysFrom2000(year, 1, 1);
  let day = first + Number(groups['yday'] ?? 0) - 1;
  let last = isDate(year, 2, 29) ? first + 365 : first + 364;
  if (groups['week'] !== undefined) {
    // The week with the year's first Thursday is its first; 2000-01-01 was a Saturday.
    const thursday = first + ((4 - ((((first + 5) % 7) + 7) % 7) - 1 + 14) % 7);
    day = thursday - 3 + (Number(groups['week']) - 1) * 7 + Number(groups['weekday']) - 1;
    last += 3;
    if (Number(groups['week']) < 1 || Number(groups['week']) > 53) return impossible(text);
  } else if (day < first) return impossible(text);
  if (year < 1 || day > last) return impossible(text);
  const at = instantOf(text, { ...clockOf(groups), year: 2000, month: 1, day: 1 }, east);
  return 'seconds' in at ? { ...at, seconds: at.seconds + day * DAY } : at;
}

/** What states no year, or no day either: the data date tells. */
function byDataDate(text: string, { east, dataDay }: MomentOptions): Instant | Violation | undefined {
  const named = yearless.exec(text)?.groups as Record<string, string> | undefined;
  if (named !== undefined) {
    const month = monthOf((named['name'] ?? named['name2'])!);
    const day = Number(named['day'] ?? named['day2']);
    const year = yearOf(dataDay, month, day);
    return year === undefined ? impossible(text) : instantOf(text, { ...clockOf(named), year, month, day }, east);
  }
  const time = timeOnly.exec(text)?.groups as Record<string, string> | undefined;
  if (time === undefined) return undefined;
  const at = instantOf(text, { ...clockOf(time), year: 2000, month: 1, day: 1 }, east);
  return 'seconds' in at ? { ...at, seconds: at.seconds + dataDay * DAY } : at;
}

/** Below it, a number may be seconds of 1970 to 1973 or anything finer. */
const EPOCH_DIGITS_MIN = 9;

/** As nanoseconds such a number is of 1973 to 2001; Windows and .NET count today's days with as many digits. */
const TICKS_DIGITS = 18;

/** Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size: good for the years 1973 to 5138. */
export function instantOfNumber(text: string): Instant | Violation {
  const [, sign = '', whole, fraction = ''] = /^([+-]?)(\d{1,19})(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return unknown(text);
  const digits = whole.replace(/^0+/, '');
  if (digits.length < EPOCH_DIGITS_MIN && /[1-9]/.test(whole + fraction))
    return ambiguous(text, 'a number so small may count seconds, milliseconds or less since 1970');
  if (digits.length === TICKS_DIGITS)
    return ambiguous(
      text,
      'it may count nanoseconds since 1970, or ticks of Windows since 1601 or of .NET since the year 1',
    );
  const places = digits.length <= 11 ? 0 : digits.length <= 14 ? 3 : digits.length <= 17 ? 6 : 9;
  const point = digits.length - places;
  const seconds = Number(digits.slice(0, Math.max(0, point)) || '0');
  const micros = microsOf(`${digits.slice(Math.max(0, point))}${fraction}`);
  if (sign !== '-') return { seconds: seconds - EPOCH_SECONDS, micros };
  return micros === 0
    ? { seconds: -seconds - EPOCH_SECONDS, micros: 0 }
    : { seconds: -seconds - 1 - EPOCH_SECONDS, micros: 1_000_000 - micros };
}

/** A date and a time in digits alone, with or without what is below a second: as a count since 1970 it would be centuries away. */
const digits =
  /^(?:19|20|21)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-4])[0-5]\d(?:[0-5]\d(?:\d{3}|[.,]\d+)?)?$/;

/** Milliseconds since 1970 as .NET once wrote them into JSON; the offset behind them changes nothing. */
const dotNet = /^\/Date\((\d{12,14})(?:[+-]\d{4})?\)\/$/;

const momentOf = (given: string, options: MomentOptions): Instant | Violation => {
  const { east } = options;
  const text = digits.test(given) ? given.replace(/^(\d{14})(\d{3})$/, '$1.$2') : given;
  if (/^[+-]?\d+(?:\.\d+)?$/.test(text) && !digits.test(text)) return instantOfNumber(text);
  const millis = dotNet.exec(text)?.[1];
  if (millis !== undefined) return instantOfNumber(millis);
  for (const layout of layouts) {
    const groups = layout.exec(text)?.groups as Record<string, string> | undefined;
    if (groups === undefined) continue;
    const month = groups['name'] === undefined ? Number(groups['month']) : monthOf(groups['name']);
    const date = { year: fullYear(groups['year']!), month, day: Number(groups['day']) };
    return instantOf(text, { ...clockOf(groups), ...date }, east);
  }
  const numbers = numeric.exec(text)?.groups as Record<string, string> | undefined;
  if (numbers !== undefined) return numericDate(text, numbers, east);
  const counted = (ordinal.exec(text) ?? week.exec(text))?.groups as Record<string, string> | undefined;
  if (counted !== undefined) return byDayOfYear(text, counted, east);
  if (dayOnly.test(text)) return ambiguous(text, 'it states a day and no time of it');
  return byDataDate(text, options) ?? unknown(text);
};

/** Longest text that can be a timestamp. */
const TEXT_MAX = 80;

/** Reads a text as a point in time. Lines of one file mostly share their layout, and the first layouts are the usual ones. */
export function momentIn(given: string, options: MomentOptions): Instant | Violation {
  const text = given.trim();
  if (text === '') return missing();
  return text.length > TEXT_MAX ? unknown(text) : momentOf(text, options);
}
