// What lives here: timestamps from bytes to seconds since 2000-01-01, the epoch of Postgres' binary format, and the calendar behind them.
// Invariant: a timestamp is read whole or refused; nothing is rounded up, wrapped round or guessed.
// Apart because every format shares it, and dates are where parsers differ in silence.
import type { Cursor, TimeLayout } from './format.ts';

const DAY_SECONDS = 86_400;
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

/** False for the 30th of February, for month 13, and for year 0000, which the calendar of Postgres does not have. */
export const isDate = (year: number, month: number, day: number): boolean =>
  year >= 1 &&
  month >= 1 &&
  month <= 12 &&
  day >= 1 &&
  day <= (month === 2 && isLeap(year) ? 29 : monthDays[month - 1]!);

/** Days from 2000-01-01 to a date of the Gregorian calendar; years are counted from March, so that the leap day comes last. */
export function daysFrom2000(year: number, month: number, day: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 730_425
  );
}

/** `2026-11-21` (anything after the day is ignored) as days from 2000-01-01; undefined if it does not begin with a date. */
export function dayOfDataDate(text: string): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?!\d)/.exec(text);
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return isDate(year, month, day) ? daysFrom2000(year, month, day) : undefined;
}

/** `Z` or `+02:00` in seconds east of UTC. Throws RangeError: a zone is declared by a person, before any data is read. */
export function zoneSeconds(zone: string): number {
  if (zone === 'Z' || zone === 'UTC') return 0;
  const match = /^([+-])([01]\d|2[0-3]):([0-5]\d)$/.exec(zone);
  if (match === null) throw new RangeError(`The zone ${JSON.stringify(zone)} is not one of Z, UTC, +hh:mm, -hh:mm.`);
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 3600 + Number(match[3]) * 60);
}

const two = (bytes: Buffer, at: number): number => {
  const tens = bytes[at]! - 48;
  const ones = bytes[at + 1]! - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
};

/** `hh:mm:ss` at `at` in seconds, or -1. A leap second is refused: a timestamp of Postgres has no place for it. */
const clock = (bytes: Buffer, at: number): number => {
  const hours = two(bytes, at);
  const minutes = two(bytes, at + 3);
  const seconds = two(bytes, at + 6);
  if (bytes[at + 2] !== 58 || bytes[at + 5] !== 58) return -1;
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59) return -1;
  return hours * 3600 + minutes * 60 + seconds;
};

/** The offset at `cursor.pos` (`Z`, `+02:00`, `+0200`, `+02`) in seconds; `missing` if there is none; NaN if it is none that exists. */
function offset(cursor: Cursor, missing: number): number {
  const { bytes, end, pos } = cursor;
  if (pos >= end) return missing;
  const sign = bytes[pos]!;
  if (sign === 90 || sign === 122) {
    cursor.pos = pos + 1;
    return 0;
  }
  if (sign !== 43 && sign !== 45) return missing;
  if (end - pos < 3) return Number.NaN;
  const hours = two(bytes, pos + 1);
  let next = pos + 3;
  let minutes = 0;
  const minutesAt = bytes[next] === 58 ? next + 1 : next;
  if (end - minutesAt >= 2 && two(bytes, minutesAt) >= 0) {
    minutes = two(bytes, minutesAt);
    next = minutesAt + 2;
  }
  if (hours < 0 || hours > 23 || minutes > 59) return Number.NaN;
  cursor.pos = next;
  return (sign === 45 ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** Up to nine digits after `.` or `,` at `cursor.pos`, in microseconds; what is finer than a microsecond is cut. -1 if no digit follows. */
function fraction(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let pos = cursor.pos + 1;
  let micros = 0;
  let digits = 0;
  for (; pos < end && digits < 9; pos++, digits++) {
    const digit = bytes[pos]! - 48;
    if (digit < 0 || digit > 9) break;
    if (digits < 6) micros = micros * 10 + digit;
  }
  if (digits === 0) return -1;
  for (let missing = digits; missing < 6; missing++) micros *= 10;
  cursor.pos = pos;
  return micros;
}

/** Makes the reader of a layout. It leaves `seconds` and `micros` and moves `pos` behind the timestamp, or returns false. */
export function timeReader(layout: TimeLayout, zone: string): (cursor: Cursor) => boolean {
  const missingZone = zoneSeconds(zone);
  return layout === 'iso' ? isoReader(missingZone) : clfReader();
}

function isoReader(missingZone: number): (cursor: Cursor) => boolean {
  // Lines of one file mostly share their day: it is looked up once and remembered.
  let lastDate = -1;
  let lastDay = 0;
  return (cursor) => {
    const { bytes, pos: at } = cursor;
    if (cursor.end - at < 19 || bytes[at + 4] !== 45 || bytes[at + 7] !== 45) return false;
    const separator = bytes[at + 10];
    if (separator !== 84 && separator !== 32 && separator !== 116) return false;
    const century = two(bytes, at);
    const years = two(bytes, at + 2);
    const month = two(bytes, at + 5);
    const day = two(bytes, at + 8);
    const seconds = clock(bytes, at + 11);
    if (century < 0 || years < 0 || month < 0 || day < 0 || seconds < 0) return false;
    const date = ((century * 100 + years) << 9) | (month << 5) | day;
    if (date !== lastDate) {
      // A month or a day above its bits would make two dates one number, so the calendar is asked before the date is remembered.
      if (!isDate(century * 100 + years, month, day)) return false;
      lastDate = date;
      lastDay = daysFrom2000(century * 100 + years, month, day);
    } else if (month > 12 || day > 31) return false;
    cursor.pos = at + 19;
    const mark = bytes[at + 19];
    let micros = 0;
    if (cursor.pos < cursor.end && (mark === 46 || mark === 44)) micros = fraction(cursor);
    if (micros < 0) return false;
    const east = offset(cursor, missingZone);
    if (Number.isNaN(east)) return false;
    cursor.seconds = lastDay * DAY_SECONDS + seconds - east;
    cursor.micros = micros;
    return true;
  };
}

/** The three letters of a month as one number, so that a month is found by one comparison a month. */
const monthKeys = 'JanFebMarAprMayJunJulAugSepOctNovDec'
  .match(/.../g)!
  .map((name) => Buffer.from(name).readUIntBE(0, 3));

/** Month 1 to 12 from its English abbreviation at `at`, or 0. */
export const monthAt = (bytes: Buffer, at: number): number =>
  monthKeys.indexOf((bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!) + 1;

function clfReader(): (cursor: Cursor) => boolean {
  return (cursor) => {
    const { bytes, pos: at, end } = cursor;
    if (end - at < 26 || bytes[at + 2] !== 47 || bytes[at + 6] !== 47 || bytes[at + 11] !== 58) return false;
    const day = two(bytes, at);
    const month = monthAt(bytes, at + 3);
    const century = two(bytes, at + 7);
    const years = two(bytes, at + 9);
    const seconds = clock(bytes, at + 12);
    if (century < 0 || years < 0 || seconds < 0 || !isDate(century * 100 + years, month, day)) return false;
    if (bytes[at + 20] !== 32) return false;
    cursor.pos = at + 21;
    const east = offset(cursor, Number.NaN);
    if (Number.isNaN(east)) return false;
    cursor.seconds = daysFrom2000(century * 100 + years, month, day) * DAY_SECONDS + seconds - east;
    cursor.micros = 0;
    return true;
  };
}

/** What a timestamp of a layout looks like, possible or not: tells a timestamp that cannot be from text that is none. */
export const timeShape: Readonly<Record<TimeLayout, RegExp>> = {
  iso: /\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?/y,
  clf: /\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}/y,
};
