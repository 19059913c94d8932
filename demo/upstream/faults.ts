// What lives here: every way in which the demo upstream can fail, as plain data, and the script that says which request meets which.
// Invariant: a script and a seed decide everything; the same requests in the same order meet the same faults.
// Apart from the server so that a test, a story and another process write the same few words.

/** Text of a Retry-After. The three dates are those HTTP allows; `raw` is for what no server should send. */
export type RetryAfter =
  | { readonly seconds: number }
  | { readonly inMs: number; readonly as: 'imf-fixdate' | 'rfc850' | 'asctime' }
  | { readonly raw: string };

export type Fault =
  /** Any status, with or without a time to come back. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly retryAfter?: RetryAfter;
      /** X-RateLimit-Reset: so many ms from now, as seconds since 1970, ms since 1970, or seconds from now. */
      readonly rateLimitReset?: { readonly inMs: number; readonly as: 'epoch-s' | 'epoch-ms' | 'seconds' };
      readonly body?: string;
    }
  /** Says nothing, or nothing after the headers, until the caller gives up. */
  | { readonly kind: 'hang'; readonly at: 'before-headers' | 'after-headers' }
  /** One byte after the other. */
  | { readonly kind: 'slow-body'; readonly everyMs: number }
  /** Answers rightly, but only after this long. */
  | { readonly kind: 'late'; readonly afterMs: number }
  /** Ends in the middle: fewer bytes than announced, no last chunk, or a gzip stream without its end (its length is right). */
  | { readonly kind: 'truncated'; readonly framing: 'content-length' | 'chunked' | 'gzip' }
  /** Cuts the connection with RST. */
  | { readonly kind: 'reset'; readonly at: 'before-headers' | 'in-body' }
  /** 200, and not what was asked for. */
  | { readonly kind: 'bad-json' }
  | { readonly kind: 'html' }
  /** 200, well formed, and a field of the properties has another name. */
  | { readonly kind: 'renamed'; readonly field: string; readonly to: string }
  /** Pages that lie: the first one again and again, each beginning so many records early, or so many records left out. */
  | { readonly kind: 'page-loop' }
  | { readonly kind: 'page-overlap'; readonly by: number }
  | { readonly kind: 'page-missing'; readonly by: number };

export type Route = 'query' | 'count' | 'health' | 'other';

/** One line of a script. Without `from`, `count`, `forMs` and `share` it is met by every request it is `on`. */
export interface Rule {
  readonly on: Route | 'any';
  /** First request that meets it, counted from 1 since the script was set, among those it is `on`. */
  readonly from?: number;
  /** So many requests meet it. */
  readonly count?: number;
  /** Only so long after the script was set. */
  readonly forMs?: number;
  /** Share of the requests that meet it, 0..1, by the seed. */
  readonly share?: number;
  readonly fault: Fault;
}

/** Decides for one request after the other which fault it meets; the first rule that fits counts. */
export function playScript(rules: readonly Rule[], seed: number): (route: Route) => Fault | undefined {
  const seen = rules.map(() => 0);
  const setAt = performance.now();
  const dice = random(seed);
  return (route) => {
    let met: Fault | undefined;
    for (const [index, rule] of rules.entries()) {
      if (rule.on !== 'any' && rule.on !== route) continue;
      const nth = ++seen[index]!;
      // Rolled for every request it is on, so that an earlier rule does not shift the luck of the later ones.
      const lucky = rule.share === undefined || dice() < rule.share;
      const from = rule.from ?? 1;
      const within = nth >= from && (rule.count === undefined || nth < from + rule.count);
      const inTime = rule.forMs === undefined || performance.now() - setAt < rule.forMs;
      if (met === undefined && lucky && within && inTime) met = rule.fault;
    }
    return met;
  };
}

/** A small generator (mulberry32): the same seed gives the same numbers on every machine. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** The header value of a Retry-After. `now` in ms since 1970. */
export function retryAfterText(retry: RetryAfter, now: number): string {
  if ('raw' in retry) return retry.raw;
  if ('seconds' in retry) return String(retry.seconds);
  // Dates have whole seconds; rounded up, because nobody may come back before the time that was meant.
  const at = new Date(Math.ceil((now + retry.inMs) / 1_000) * 1_000);
  const [, day, month, year, time] = /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\S+) GMT$/.exec(at.toUTCString())!;
  const weekday = days[at.getUTCDay()]!;
  if (retry.as === 'imf-fixdate') return at.toUTCString();
  if (retry.as === 'rfc850') return `${weekday}, ${day}-${month}-${year!.slice(2)} ${time} GMT`;
  return `${weekday.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}

/** The header value of an X-RateLimit-Reset. */
export function rateLimitResetText(
  { inMs, as }: { inMs: number; as: 'epoch-s' | 'epoch-ms' | 'seconds' },
  now: number,
): string {
  if (as === 'seconds') return String(Math.ceil(inMs / 1_000));
  return String(as === 'epoch-ms' ? now + inMs : Math.ceil((now + inMs) / 1_000));
}
