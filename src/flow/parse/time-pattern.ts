// What lives here: timestamps in a form that a user declares, in the letters of strftime: `%d/%b/%Y:%H:%M:%S %z`.
// Invariant: a text is read by a declared form whole or not at all; what a form leaves open is told when it is declared.
// Apart from moment.ts, which knows the usual forms by itself; here somebody said which of two meanings is meant.
import type { Violation } from '../types.ts';
import { quote } from './diagnose.ts';
import {
  type Instant,
  impossible,
  instantOf,
  instantOfNumber,
  missing,
  type MomentOptions,
  monthOf,
  yearOf,
} from './moment.ts';
import { daysFrom2000, isDate } from './time.ts';

const month = '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*';
const weekday = '(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*';
const two = String.raw`\d{2}`;
const fraction = String.raw`(?<fraction>\d{1,9})`;

/** What each letter stands for, as the source of an expression. */
const letters: Readonly<Record<string, string>> = {
  Y: String.raw`(?<year>\d{4})`,
  y: `(?<years>${two})`,
  m: String.raw`(?<month>\d{1,2})`,
  d: String.raw`\s?(?<day>\d{1,2})`,
  e: String.raw`\s?(?<day>\d{1,2})`,
  b: `(?<name>${month})`,
  B: `(?<name>${month})`,
  h: `(?<name>${month})`,
  a: weekday,
  A: weekday,
  j: String.raw`(?<yday>\d{3})`,
  H: String.raw`\s?(?<hour>\d{1,2})`,
  k: String.raw`\s?(?<hour>\d{1,2})`,
  I: String.raw`\s?(?<hour>\d{1,2})`,
  l: String.raw`\s?(?<hour>\d{1,2})`,
  M: `(?<minute>${two})`,
  S: `(?<second>${two})`,
  f: fraction,
  L: fraction,
  N: fraction,
  p: String.raw`(?<half>[ap]\.?m\.?)`,
  P: String.raw`(?<half>[ap]\.?m\.?)`,
  z: String.raw`(?<zone>z|[+-]\d{2}(?::?\d{2})?)`,
  Z: String.raw`(?<zone>[a-z]{1,5}|(?:utc|gmt)?[+-]\d{1,2}(?::?\d{2})?)`,
  s: String.raw`(?<epoch>[+-]?\d{1,19}(?:\.\d{1,9})?)`,
  n: String.raw`\s+`,
  t: String.raw`\s+`,
};
/** Letters that stand for several. */
const short: Readonly<Record<string, string>> = {
  F: '%Y-%m-%d',
  T: '%H:%M:%S',
  R: '%H:%M',
  D: '%m/%d/%y',
  r: '%I:%M:%S %p',
  c: '%a %b %e %H:%M:%S %Y',
};

interface Compiled {
  readonly pattern: RegExp;
  /** Names of the groups in it. */
  readonly names: ReadonlySet<string>;
}

/** The form as an expression, or everything that is wrong with it. */
function compiled(text: string): Compiled | readonly string[] {
  const faults: string[] = [];
  const names = new Set<string>();
  const spelt = text.replace(/%([FTRDrc])/g, (_, letter: string) => short[letter]!);
  const source = spelt.replace(/%(?:([-_0^#]?\d?)([A-Za-z%]))?|[^%]+/g, (all, _flag, letter: string | undefined) => {
    if (!all.startsWith('%'))
      return all.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`).replace(/ +/g, String.raw`\s+`);
    if (letter === '%') return '%';
    const found = letter === undefined ? undefined : letters[letter];
    if (found === undefined) {
      faults.push(`"${all}" is no part of a time that is known`);
      return '';
    }
    const name = /\(\?<(\w+)>/.exec(found)?.[1];
    if (name !== undefined && names.has(name)) {
      faults.push(`"${all}" states the ${name} for the second time`);
      return '';
    }
    if (name !== undefined) names.add(name);
    return found;
  });
  if (faults.length === 0) faults.push(...gapsIn(names, spelt));
  return faults.length > 0 ? faults : { pattern: new RegExp(`^${source}$`, 'i'), names };
}

/** What the form leaves open. A year and a whole date may be left to the data date; nothing else may. */
function gapsIn(names: ReadonlySet<string>, text: string): string[] {
  if (names.has('epoch'))
    return names.size === 1 ? [] : ['"%s" is a whole time by itself, and nothing may stand beside it'];
  const has = (...some: string[]): boolean => some.some((name) => names.has(name));
  const gaps: string[] = [];
  if (!has('hour') || !has('minute'))
    gaps.push('it states no time of the day ("%H:%M", or "%s" for seconds since 1970)');
  if (/%[Il]/.test(text) !== has('half')) gaps.push('the hour of twelve ("%I") and its half ("%p") belong together');
  const [year, monthly, daily] = [has('year', 'years'), has('month', 'name'), has('day')];
  if (has('year') && has('years')) gaps.push('it states the year twice');
  if (has('month') && has('name')) gaps.push('it states the month twice');
  if (has('yday') ? !year || monthly || daily : monthly !== daily || (year && !monthly))
    gaps.push('its date is not whole (month and day, or year and day of the year "%j")');
  return gaps;
}

/** Everything that is wrong with a declared form, in parts of sentences; empty if nothing is. */
export function faultsOfTime(text: string): readonly string[] {
  const found = compiled(text);
  return 'pattern' in found ? [] : (found as readonly string[]);
}

/** Years of two digits as POSIX reads them. */
const century = (years: number): number => (years < 69 ? 2000 : 1900) + years;

function instantIn(
  text: string,
  groups: Record<string, string | undefined>,
  options: MomentOptions,
): Instant | Violation {
  if (groups['epoch'] !== undefined) return instantOfNumber(groups['epoch']);
  const clock = `${groups['hour']}:${groups['minute']}:${groups['second'] ?? '00'}`;
  const { fraction, half, zone } = groups;
  const about = { clock, fraction, half, zone };
  const stated = groups['years'] === undefined ? groups['year'] : String(century(Number(groups['years'])));
  const onDay = (day: number): Instant | Violation => {
    const at = instantOf(text, { ...about, year: 2000, month: 1, day: 1 }, options.east);
    return 'seconds' in at ? { ...at, seconds: at.seconds + day * 86_400 } : at;
  };
  if (groups['yday'] !== undefined) {
    const year = Number(stated);
    const day = Number(groups['yday']);
    return day < 1 || day > (isDate(year, 2, 29) ? 366 : 365)
      ? impossible(text)
      : onDay(daysFrom2000(year, 1, 1) + day - 1);
  }
  if (groups['day'] === undefined) return onDay(options.dataDay);
  const day = Number(groups['day']);
  const month = groups['name'] === undefined ? Number(groups['month']) : monthOf(groups['name']);
  const year = stated === undefined ? yearOf(options.dataDay, month, day) : Number(stated);
  return year === undefined ? impossible(text) : instantOf(text, { ...about, year, month, day }, options.east);
}

/** Makes a reader of timestamps in declared forms; the first that fits is taken. Throws RangeError if one of them is wrong. */
export function timePatternReader(
  forms: readonly string[],
  options: MomentOptions,
): (text: string) => Instant | Violation {
  const all = forms.map((form) => {
    const found = compiled(form);
    if (!('pattern' in found))
      throw new RangeError(`The time pattern "${form}": ${(found as readonly string[]).join('; ')}.`);
    return found.pattern;
  });
  return (given) => {
    const text = given.trim();
    if (text === '') return missing();
    for (const pattern of all) {
      const groups = pattern.exec(text)?.groups;
      if (groups !== undefined) return instantIn(text, groups, options);
    }
    const message = `${quote(text)} is not a timestamp of the form ${forms.map((form) => `"${form}"`).join(' or ')}.`;
    return { field: 'timestamp', code: 'timestamp_invalid', message };
  };
}
