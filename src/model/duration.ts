// What lives here: durations in words, as pipelines declare them and as people read them, and numbers as people read them.
// Invariant: a `Duration` that compiles also parses; a bare number never means a time; the same words on every machine, whatever its language is.
// Apart because specs, clocks, messages and the command line all need the same words.
type Unit = 'millisecond' | 'second' | 'minute' | 'hour' | 'day';

/** `'30 seconds'`, `'1 hour'`: a number, a space, a unit; the unit's `s` is optional. */
export type Duration = `${number} ${Unit}${'' | 's'}`;

const unitMs: Record<Unit, number> = {
  millisecond: 1,
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};

/** Milliseconds of a duration in words, or undefined if it is none (for input from a command line). */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(?:(millisecond|second|minute|hour|day)s?|(ms|s|m|h|d))$/.exec(text.trim());
  if (!match) return undefined;
  const long = match[2] ?? { ms: 'millisecond', s: 'second', m: 'minute', h: 'hour', d: 'day' }[match[3]!]!;
  return Number(match[1]) * unitMs[long as Unit];
}

/** Milliseconds of a declared duration. Throws on a text that only a cast could bring here. */
export function ms(duration: Duration): number {
  const parsed = parseDuration(duration);
  if (parsed === undefined) throw new TypeError(`"${duration}" is not a duration; write for example '30 seconds'.`);
  return parsed;
}

/** Reads aloud: `450 ms`, `12 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function inWords(durationMs: number): string {
  if (!Number.isFinite(durationMs)) return 'no known time';
  // Rounded to what is shown before the unit is chosen, so that nothing reads "60 s".
  const rounding = durationMs < 1_000 ? 1 : durationMs < 9_950 ? 100 : 1_000;
  const value = Math.max(0, Math.round(durationMs / rounding) * rounding);
  if (value < 1_000) return `${value} ms`;
  const steps = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const first = steps.findIndex(([, size]) => value >= size);
  const [unit, size] = steps[first]!;
  const next = steps[first + 1];
  const rest = next ? Math.floor((value % size) / next[1]) : 0;
  if (unit === 's') return `${(value / 1_000).toFixed(value < 10_000 ? 1 : 0)} s`;
  return `${Math.floor(value / size)} ${unit}${next && rest > 0 ? ` ${rest} ${next[0]}` : ''}`;
}

/** `12,345`. */
export const inDigits = (value: number): string => value.toLocaleString('en-US');
