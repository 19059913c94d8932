// What lives here: reading and writing JSON without losing a digit: the one reader of answers, lines and datasets.
// Invariant: a number is read as a `number` only where that says exactly what the text says; a whole number beyond that is a bigint, any other an
// `ExactNumber`; what was read is written with the same value. Native JSON does the parsing; only literals that need care are taken out before.
// Apart because every entrance has to agree on what a number is, and because JSON.parse rounds in silence.

/** A number that JavaScript's own cannot hold, as its text. It counts as the nearest double in arithmetic, and as its digits as a text. */
export interface ExactNumber {
  /** As written in the source, such as `0.1234567890123456789`. */
  readonly digits: string;
  toString(): string;
  toJSON(): string;
}

/** Levels of arrays and objects. Real data has a handful; what recurses over a value would end at some thousands. */
export const JSON_DEPTH_MAX = 500;
/** A longer whole number stays a text: making a bigint of it costs more than a record may. */
const BIGINT_DIGITS_MAX = 1_000;

const likeNumber = {
  toString(this: ExactNumber): string {
    return this.digits;
  },
  /** Whoever writes it with JSON.stringify gets its digits as a text, and never another number. */
  toJSON(this: ExactNumber): string {
    return this.digits;
  },
  [Symbol.toPrimitive](this: ExactNumber, hint: string): string | number {
    return hint === 'string' ? this.digits : Number(this.digits);
  },
};

const exactNumber = (digits: string): ExactNumber =>
  Object.freeze(Object.assign(Object.create(likeNumber) as object, { digits })) as ExactNumber;

/** What a number of JSON is read as. */
export type Numeric = number | bigint | ExactNumber;

export const isExactNumber = (value: unknown): value is ExactNumber =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === likeNumber;

/** For a schema that keeps every digit: `z.custom<Numeric>(isNumeric)`. */
export const isNumeric = (value: unknown): value is Numeric =>
  typeof value === 'number' || typeof value === 'bigint' || isExactNumber(value);

/** The nearest `number` of a number that was read exactly, anything else as it is: for a schema that wants doubles, `z.preprocess(nearest, z.number())`. */
export const nearest = (value: unknown): unknown =>
  typeof value === 'bigint' || isExactNumber(value) ? Number(value) : value;

/** Text without it has no number that needs care: fewer than 16 digits, and no exponent that leaves the range of a double. */
const mayNeedCare = /\d[\d.]{15}|[eE][+-]?\d{3}/;

/**
 * Reads JSON. Of equal keys the last stands, as in Postgres; `__proto__` is a key like any other; a byte order mark before the text is passed
 * over. Throws what JSON.parse throws, and a RangeError for text nested deeper than JSON_DEPTH_MAX.
 */
export function readJson(text: string): unknown {
  const bare = text.startsWith('\uFEFF') ? text.slice(1) : text;
  const value: unknown = JSON.parse(bare);
  // Of what is deeper, each level takes two characters at least.
  if (bare.length > 2 * JSON_DEPTH_MAX) refuseDeep(value);
  if (!mayNeedCare.test(bare)) return value;
  const cares = literalsIn(bare);
  if (cares.length === 0) return value;
  const mark = newMark(bare);
  let masked = '';
  let done = 0;
  for (const { from, to } of cares) {
    masked += `${bare.slice(done, from)}"${mark}${bare.slice(from, to)}"`;
    done = to;
  }
  return unmask(JSON.parse(masked + bare.slice(done)), mark);
}

/** A text that stands nowhere in this document. */
function newMark(text: string): string {
  for (let n = 0; ; n++) if (!text.includes(`mf${n}#`)) return `mf${n}#`;
}

const QUOTE = 34;
/** The shortest literals that need care are such as `1e400`. */
const SHORT_LENGTH = 4;
const MINUS = 45;
const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** Where the literals stand that a double does not hold. The text is valid JSON. */
function literalsIn(text: string): { readonly from: number; readonly to: number }[] {
  const found: { from: number; to: number }[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === MINUS || isDigit(code)) {
      const from = at;
      while (at < text.length && isOfNumber(text.charCodeAt(at))) at++;
      if (at - from > SHORT_LENGTH && !survives(text.slice(from, at))) found.push({ from, to: at });
      at--;
    }
  }
  return found;
}

/** Digits, `.`, `+`, `-`, `e`, `E`. */
const isOfNumber = (code: number): boolean =>
  isDigit(code) || code === 46 || code === 43 || code === MINUS || code === 101 || code === 69;

/** The closing quote of the string that opens at `from`. */
export function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); ; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return at;
  }
}

/** Whether a double says what the literal says: a whole number up to 2^53 - 1, any other if its shortest text has the same value. */
function survives(literal: string): boolean {
  const value = Number(literal);
  // As most others write a double, too.
  if (Number.isFinite(value) && !isLarge(value) && String(value) === literal) return true;
  if (/^-?\d+$/.test(literal)) return Number.isSafeInteger(value);
  return Number.isFinite(value) && valueOf(literal) === valueOf(String(value));
}

/** One text for each value: its digits without zeros around them, and the power of ten of the last one. */
function valueOf(literal: string): string {
  const [, sign, whole, fraction = '', exponent = '0'] = /^([-+]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal)!;
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const short = withoutZerosBehind(digits);
  if (short === '') return '0';
  return `${sign}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}

function withoutZerosBehind(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits.charCodeAt(end - 1) === 48) end--;
  return digits.slice(0, end);
}

const exactOf = (literal: string): bigint | ExactNumber =>
  /^-?\d+$/.test(literal) && literal.length <= BIGINT_DIGITS_MAX ? BigInt(literal) : exactNumber(literal);

/** Puts the numbers back, in place. A member is defined, not assigned: `__proto__` would change what its object is. */
function unmask(value: unknown, mark: string): unknown {
  if (typeof value === 'string') return value.startsWith(mark) ? exactOf(value.slice(mark.length)) : value;
  if (typeof value !== 'object' || value === null) return value;
  for (const [key, member] of Object.entries(value as Record<string, unknown>)) {
    const made = unmask(member, mark);
    if (made !== member)
      Object.defineProperty(value, key, { value: made, enumerable: true, configurable: true, writable: true });
  }
  return value;
}

function refuseDeep(value: unknown): void {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > JSON_DEPTH_MAX) throw new RangeError(`The JSON is nested deeper than ${JSON_DEPTH_MAX} levels.`);
    const below: unknown[] = [];
    for (const one of level)
      for (const member of Object.values(one as object))
        if (typeof member === 'object' && member !== null) below.push(member);
    level = below;
  }
}

/**
 * Writes a value as JSON, as JSON.stringify does, but for numbers: bigint, ExactNumber and -0 keep their value, and one that is not finite is
 * refused instead of becoming null. Undefined for what JSON has no word for. Throws a RangeError, and what JSON.stringify throws.
 * `forOthers`: a double of more than 2^53 is written out in full, which we would read as a bigint; else it gets an exponent.
 */
export function writeJson(value: unknown, { forOthers = false } = {}): string | undefined {
  if (!needsCare(value, 0)) return JSON.stringify(value);
  const mark = newMark(JSON.stringify(value, masking('', forOthers)) ?? '');
  const text = JSON.stringify(value, masking(mark, forOthers)) as string | undefined;
  return text?.replaceAll(new RegExp(`"${mark}([^"]+)"`, 'g'), '$1');
}

/** For JSON.stringify: numbers that it would alter become strings that begin with the mark. */
function masking(mark: string, forOthers: boolean) {
  return function (this: unknown, key: string, shown: unknown): unknown {
    const own = (this as Record<string, unknown>)[key];
    if (typeof own === 'bigint' || isExactNumber(own)) return `${mark}${String(own)}`;
    if (typeof shown !== 'number') return shown;
    if (!Number.isFinite(shown)) throw new RangeError('NaN and Infinity cannot be written as JSON.');
    if (Object.is(shown, -0)) return `${mark}-0`;
    return forOthers || !isLarge(shown) ? shown : `${mark}${shown.toExponential()}`;
  };
}

const isLarge = (value: number): boolean => Number.isInteger(value) && !Number.isSafeInteger(value);

/** Whether native JSON would write another number. What is deeper than can be is left to JSON.stringify, which knows of circles. */
function needsCare(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return !Number.isFinite(value) || Object.is(value, -0) || isLarge(value);
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint';
  if (depth > JSON_DEPTH_MAX || isExactNumber(value)) return true;
  for (const key in value) if (needsCare((value as Record<string, unknown>)[key], depth + 1)) return true;
  return false;
}
