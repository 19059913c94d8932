// What lives here: JSON text as the jsonb text that Postgres would make of it, without passing through JavaScript's numbers.
// Invariant: a number keeps every digit; what Postgres would refuse is refused here, for its record alone.
// Apart because JSON.parse rounds large numbers in silence, and loaded values are never altered.
import { byJsonbOrder } from '../parse/jsonb.ts';

/** Levels of arrays and objects; a log line has a handful. */
const DEPTH_MAX = 64;
/** Digits to which an exponent may blow a number up. */
const EXPONENT_MAX = 400;

/** What makes JSON unfit for jsonb, with a code for its violation. */
export class JsonUnfit extends Error {
  override readonly name = 'JsonUnfit';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The members of an object, each value as jsonb text. Throws JsonUnfit if the text is no object or holds what jsonb cannot. */
export function membersOf(text: string): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message quotes the record and names a place that depends on the version of Node; the raw bytes say more.
    throw new JsonUnfit('json_invalid', 'The line is not JSON.');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new JsonUnfit('json_no_object', 'The line is JSON, but no object.');
  return new Scanner(text).members(0);
}

/** The object of these members as jsonb writes it. */
export const objectOf = (members: ReadonlyMap<string, string>): string =>
  `{${[...members.keys()]
    .toSorted(byJsonbOrder)
    .map((key) => `${JSON.stringify(key)}: ${members.get(key)!}`)
    .join(', ')}}`;

/** A number as Postgres' numeric writes it: no exponent, no negative zero, trailing zeros kept. */
export function numericText(lexeme: string): string {
  const [, sign, whole, fraction = '', exponentText] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(lexeme)!;
  const exponent = Number(exponentText ?? 0);
  if (Math.abs(exponent) > EXPONENT_MAX)
    throw new JsonUnfit('json_number', `The number ${lexeme.slice(0, 40)} is out of bounds.`);
  const digits = `${'0'.repeat(Math.max(0, -exponent))}${whole}${fraction}${'0'.repeat(Math.max(0, exponent - fraction.length))}`;
  const scale = Math.max(0, fraction.length - exponent);
  const point = digits.length - scale;
  const integer = digits.slice(0, point).replace(/^0+(?=\d)/, '') || '0';
  const text = scale === 0 ? integer : `${integer}.${digits.slice(point)}`;
  return sign === '-' && /[1-9]/.test(text) ? `-${text}` : text;
}

/** Walks text that JSON.parse has accepted. */
class Scanner {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text;
  }
  members(depth: number): Map<string, string> {
    const members = new Map<string, string>();
    this.#skip('{');
    while (this.#peek() !== '}') {
      const key = this.#string();
      this.#skip(':');
      // As in jsonb, the last of equal keys stands.
      members.set(JSON.parse(key) as string, this.#value(depth + 1));
      if (this.#peek() === ',') this.#at++;
    }
    this.#at++;
    return members;
  }
  #peek(): string {
    while (/[ \t\n\r]/.test(this.#text[this.#at]!)) this.#at++;
    return this.#text[this.#at]!;
  }
  #skip(character: string): void {
    if (this.#peek() === character) this.#at++;
  }
  #value(depth: number): string {
    if (depth > DEPTH_MAX) throw new JsonUnfit('json_too_deep', `The line is nested deeper than ${DEPTH_MAX} levels.`);
    const first = this.#peek();
    if (first === '"') return this.#string();
    if (first === '{') return objectOf(this.members(depth));
    if (first === '[') {
      const items: string[] = [];
      this.#at++;
      while (this.#peek() !== ']') {
        items.push(this.#value(depth + 1));
        if (this.#peek() === ',') this.#at++;
      }
      this.#at++;
      return `[${items.join(', ')}]`;
    }
    const word = /[^\s,\]}]+/y;
    word.lastIndex = this.#at;
    const [lexeme] = word.exec(this.#text)!;
    this.#at += lexeme.length;
    return /^[tfn]/.test(lexeme) ? lexeme : numericText(lexeme);
  }
  #string(): string {
    this.#peek();
    const start = this.#at;
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) if (this.#text[this.#at] === '\\') this.#at++;
    this.#at++;
    const value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    if (/\0|\p{Surrogate}/u.test(value))
      throw new JsonUnfit('text_unstorable', 'A text holds NUL or half of a character, which Postgres cannot hold.');
    return JSON.stringify(value);
  }
}
