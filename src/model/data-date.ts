// What lives here: which period a run is about: the last complete one, or one that a person wrote.
// Invariant: pure; the moment is an argument. Calendar days are counted as days, never as 24 hours, so a clock change moves nothing.
// Apart because the client, schedules and backfills must resolve the same date from the same moment.
import { CodedError } from './failure.ts';
import type { AnySpec } from './spec.ts';

type Dated = Pick<AnySpec, 'name' | 'every' | 'timezone' | 'offset'>;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The data date of pipelines with `every: 'none'`: one run per scope. */
const NO_DATE = 'none';

/**
 * The last complete period at `now` (ms), moved back by `offset` whole periods.
 * `2026-11-21` for days; `2026-11-21T13` for hours in UTC, and `2026-10-25T02+0200` elsewhere, where a local hour can happen twice.
 */
export function defaultDataDate(spec: Dated, now: number): string {
  const back = 1 + (spec.offset ?? 0);
  switch (spec.every) {
    case 'none':
      return NO_DATE;
    case 'day': {
      const { year, month, day } = localTime(spec, now);
      return isoDay(Date.UTC(year, month - 1, day) - back * DAY_MS);
    }
    case 'hour':
      return hourOf(spec, startOfHour(spec, startOfHour(spec, now) - back * HOUR_MS));
  }
}

/** A data date as a person wrote it, in its one spelling; or the sentence that says what is wrong with it. */
export function readDataDate(spec: Dated, written: string): { readonly date: string } | { readonly fault: string } {
  const given = written.trim();
  switch (spec.every) {
    case 'none':
      return given === NO_DATE
        ? { date: NO_DATE }
        : { fault: `Pipeline ${spec.name} has no data dates, so --date "${given}" means nothing to it; leave it out.` };
    case 'day':
      return isRealDay(given) ? { date: given } : { fault: `--date "${given}" is no day; write it as 2026-11-21.` };
    case 'hour':
      return readHour(spec, given);
  }
}

/** Whether it could be the data date of any pipeline, in its one spelling or one that is read as it. */
export const couldBeDataDate = (written: string): boolean =>
  written === NO_DATE ||
  isRealDay(written) ||
  (/^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3])([+-]\d{4})?$/.test(written) && isRealDay(written.slice(0, 10)));

/** True if the period has ended at `now`: loading one that has not is allowed, and told. */
export function isComplete(spec: Dated, date: string, now: number): boolean {
  if (spec.every === 'none') return true;
  if (spec.every === 'day') {
    const { year, month, day } = localTime(spec, now);
    return date < isoDay(Date.UTC(year, month - 1, day));
  }
  const start = startOf(spec, date);
  return start === undefined || start + HOUR_MS <= now;
}

/** Whether the period has begun at `now`: of one that has not, nothing can be there that belongs to it. */
export function hasBegun(spec: Dated, date: string, now: number): boolean {
  if (spec.every === 'none') return true;
  if (spec.every === 'day') {
    const { year, month, day } = localTime(spec, now);
    return date <= isoDay(Date.UTC(year, month - 1, day));
  }
  const start = startOf(spec, date);
  return start === undefined || start <= now;
}

const pad = (value: number): string => String(value).padStart(2, '0');
const isoDay = (utcMs: number): string => new Date(utcMs).toISOString().slice(0, 10);

function isRealDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && isoDay(Date.parse(text)) === text;
}

function readHour(spec: Dated, given: string): { readonly date: string } | { readonly fault: string } {
  const example = isUtc(spec) ? '2026-11-21T13' : '2026-11-21T13 or 2026-11-21T13+0100';
  const match = /^(\d{4}-\d{2}-\d{2})T(\d{2})(Z|[+-]\d{2}:?\d{2})?$/.exec(given);
  if (!match || !isRealDay(match[1]!) || Number(match[2]) > 23)
    return { fault: `--date "${given}" is no hour; write it as ${example}.` };
  const wall = Date.parse(`${match[1]}T${match[2]}:00:00Z`);
  // Every zone is within 15 hours of UTC; of the hours around, those that read like the given one are meant.
  const meant = new Set<string>();
  for (let at = wall - 15 * HOUR_MS; at <= wall + 15 * HOUR_MS; at += HOUR_MS / 4) {
    const hour = hourOf(spec, startOfHour(spec, at));
    if (hour.startsWith(`${match[1]}T${match[2]}`)) meant.add(hour);
  }
  const suffix = match[3] === 'Z' ? '+0000' : match[3]?.replace(':', '');
  const fitting = [...meant].filter(
    (hour) =>
      suffix === undefined || hour.slice(13) === (isUtc(spec) ? '' : suffix) || (isUtc(spec) && suffix === '+0000'),
  );
  if (fitting.length === 1) return { date: fitting[0]! };
  return {
    fault:
      fitting.length > 1
        ? `--date "${given}" happens twice in ${spec.timezone ?? 'UTC'}, because the clocks go back; write ${fitting.join(' or ')}.`
        : `--date "${given}" does not happen in ${spec.timezone ?? 'UTC'}${meant.size > 0 ? `; did you mean ${[...meant].join(' or ')}?` : '.'}`,
  };
}

/** The instant at which an hour in its one spelling begins. */
function startOf(spec: Dated, date: string): number | undefined {
  const at = Date.parse(
    `${date.slice(0, 13)}:00:00${date.length > 13 ? `${date.slice(13, 16)}:${date.slice(16)}` : 'Z'}`,
  );
  return Number.isNaN(at) ? undefined : startOfHour(spec, at);
}

const isUtc = (spec: Dated): boolean => spec.timezone === undefined || spec.timezone === 'UTC';

function hourOf(spec: Dated, at: number): string {
  const { year, month, day, hour, zone } = localTime(spec, at);
  return `${year}-${pad(month)}-${pad(day)}T${pad(hour)}${isUtc(spec) ? '' : zone}`;
}

/** Hours begin where local minutes are 0, also where the zone is half an hour off UTC. */
function startOfHour(spec: Dated, at: number): number {
  const { minute, second } = localTime(spec, at);
  return Math.floor(at / 1_000) * 1_000 - minute * 60_000 - second * 1_000;
}

interface LocalTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** `+0200`. */
  readonly zone: string;
}

function localTime(spec: Dated, at: number): LocalTime {
  const parts = new Map(
    formatOf(spec)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const number = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
  const shift = /([+-])(\d{2}):(\d{2})/.exec(parts.get('timeZoneName') ?? '');
  return {
    year: number('year'),
    month: number('month'),
    day: number('day'),
    hour: number('hour'),
    minute: number('minute'),
    second: number('second'),
    zone: shift ? `${shift[1]}${shift[2]}${shift[3]}` : '+0000',
  };
}

function formatOf(spec: Dated): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: spec.timezone ?? 'UTC',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      timeZoneName: 'longOffset',
    });
  } catch (cause) {
    throw new CodedError(
      'config_invalid',
      `Pipeline ${spec.name} names the time zone "${String(spec.timezone)}", which does not exist. Nothing was started. Write one like Europe/Berlin.`,
      { cause },
    );
  }
}
