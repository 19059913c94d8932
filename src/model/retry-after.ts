// What lives here: how long the other side asks us to stay away, from the headers of its answer.
// Invariant: pure; never earlier than asked. What is malformed or absurd asks for nothing, and own backoff takes over.
// Apart because it is grammar, and grammar is tested by tables.

/** Headers as fetch, undici, axios and Node give them. */
export type HeadersLike =
  | { get(name: string): unknown }
  | Readonly<Record<string, string | readonly string[] | number | null | undefined>>;

export interface AskedWhen {
  /** Now, in ms. Without it a date counts only beside the answer's own `Date`. */
  readonly now?: number | undefined;
  /** When the answer came, in ms: seconds count from then. Default: now. */
  readonly receivedAt?: number | undefined;
  /** The answer's own `Date`, where it is not among the headers: a date is compared with it, and not with our clock. */
  readonly dateHeader?: string | undefined;
  /** No longer than this, in ms. Default a week. */
  readonly maxMs?: number | undefined;
  /** Status of the answer; one that is not in `statuses` asks for nothing. */
  readonly status?: number | undefined;
  /** Default 413, 429 and 503. */
  readonly statuses?: ReadonlySet<number> | undefined;
}

export const waitingStatuses: ReadonlySet<number> = new Set([413, 429, 503]);
const WAIT_MAX_MS = 7 * 86_400_000;
/** Nobody means this: a moment in the wrong unit, a number that ran over. */
const ABSURD_MS = 366 * 86_400_000;
/** A number above this is a moment and no length: in seconds since 1970, or in ms. */
const EPOCH_SECONDS_MIN = 1e9;
const EPOCH_MS_MIN = 1e11;

/** Milliseconds to wait from now; 0 if the moment is reached; undefined if nothing (sensible) is asked. */
export function waitAsked(headers: HeadersLike, when: AskedWhen = {}): number | undefined {
  const { now, receivedAt = now, status, statuses = waitingStatuses, maxMs = WAIT_MAX_MS } = when;
  if (status !== undefined && !statuses.has(status)) return undefined;
  const server = httpDate(when.dateHeader ?? headerOf(headers, 'date') ?? '');
  // What a date is compared with: the clock of whoever wrote it, as it stood when the answer came.
  const base = server ?? receivedAt;
  const asked =
    longest(headerOf(headers, 'retry-after'), (text) => retryAfterMs(text, base)) ??
    (throttled(headers)
      ? (longest(headerOf(headers, 'ratelimit'), draftMs) ??
        longest(headerOf(headers, 'ratelimit-reset'), (text) => resetMs(text, base)) ??
        longest(headerOf(headers, 'x-ratelimit-reset'), (text) => resetMs(text, base)))
      : undefined);
  if (asked === undefined) return undefined;
  const passed = now === undefined || receivedAt === undefined ? 0 : Math.max(0, now - receivedAt);
  return Math.min(Math.max(0, asked - passed), maxMs);
}

/** Whether the answer says that it is calls which are spent. */
export const callsSpent = (headers: HeadersLike): boolean => remainingOf(headers) === '0';

/** A reset beside calls that remain is bookkeeping, and asks for nothing. */
const throttled = (headers: HeadersLike): boolean => (remainingOf(headers) ?? '0') === '0';
const remainingOf = (headers: HeadersLike): string | undefined =>
  (headerOf(headers, 'x-ratelimit-remaining') ?? headerOf(headers, 'ratelimit-remaining'))?.trim();

/** One header as text; several of a name are joined by a line feed, which none can hold. */
function headerOf(headers: HeadersLike, name: string): string | undefined {
  const { get } = headers as { get?: unknown };
  const found =
    typeof get === 'function'
      ? (headers as { get(name: string): unknown }).get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (Array.isArray(found)) return found.map(String).join('\n');
  return typeof found === 'string' || typeof found === 'number' ? String(found) : undefined;
}

/** Of several headers of one name the longest wait counts; a proxy may have added its own. A comma joins them too, but also stands in a date. */
function longest(text: string | undefined, read: (one: string) => number | undefined): number | undefined {
  if (text === undefined) return undefined;
  const parts = text.split('\n').flatMap((line) => (/^[\d\s,]+$/.test(line) ? line.split(',') : [line]));
  const asked = parts.flatMap((part) => read(part.trim()) ?? []).filter((value) => value <= ABSURD_MS);
  return asked.length === 0 ? undefined : Math.max(...asked);
}

function retryAfterMs(text: string, base: number | undefined): number | undefined {
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const at = httpDate(text);
  return at === undefined || base === undefined ? undefined : Math.max(0, at - base);
}

/** A length in seconds, or a moment in seconds or ms since 1970: both are in use under the same name. */
function resetMs(text: string, base: number | undefined): number | undefined {
  if (!/^\d+(\.\d+)?$/.test(text)) return undefined;
  const value = Number(text);
  if (value <= EPOCH_SECONDS_MIN) return Math.ceil(value * 1_000);
  const at = Math.ceil(value >= EPOCH_MS_MIN ? value : value * 1_000);
  return base === undefined ? undefined : Math.max(0, at - base);
}

/** `"default";r=0;t=30`: what remains, and the seconds until there is more. */
function draftMs(text: string): number | undefined {
  const remains = /;\s*r=(\d+)/.exec(text)?.[1];
  const seconds = /;\s*t=(\d+)/.exec(text)?.[1];
  return remains !== undefined && Number(remains) === 0 && seconds !== undefined ? Number(seconds) * 1_000 : undefined;
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const clock = String.raw`(?<hour>\d{2}):(?<minute>\d{2}):(?<second>\d{2})`;
const zone = '(?:GMT|UTC)';
const dateForms = [
  // Sun, 06 Nov 1994 08:49:37 GMT, and what is written instead: one digit for the day, UTC for GMT.
  new RegExp(String.raw`^[a-z]{3}, (?<day>\d{1,2}) (?<month>[a-z]{3}) (?<year>\d{4}) ${clock} ${zone}$`, 'i'),
  // Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(String.raw`^[a-z]{6,9}, (?<day>\d{2})-(?<month>[a-z]{3})-(?<year>\d{2}) ${clock} ${zone}$`, 'i'),
  // Sun Nov  6 08:49:37 1994
  new RegExp(String.raw`^[a-z]{3} (?<month>[a-z]{3}) (?<day>[ \d]\d) ${clock} (?<year>\d{4})$`, 'i'),
];

/** One of the three date forms of HTTP, in ms; undefined if it is none, or names no real day. */
export function httpDate(text: string): number | undefined {
  for (const form of dateForms) {
    const found = form.exec(text.trim())?.groups as
      | Record<'day' | 'month' | 'year' | 'hour' | 'minute' | 'second', string>
      | undefined;
    if (found === undefined) continue;
    const [day, hour, minute, second] = [found.day, found.hour, found.minute, found.second].map(Number) as [
      number,
      number,
      number,
      number,
    ];
    const month = months.indexOf(found.month.toLowerCase());
    if (month < 0 || hour > 23 || minute > 59 || second > 60) return undefined;
    const at = Date.UTC(fullYear(found.year), month, day, hour, minute, second);
    return new Date(Date.UTC(fullYear(found.year), month, day)).getUTCDate() === day ? at : undefined;
  }
  return undefined;
}

/** Two digits are of this century up to 68; a Retry-After never means another. */
const fullYear = (text: string): number =>
  text.length === 4 ? Number(text) : Number(text) + (Number(text) > 68 ? 1900 : 2000);
