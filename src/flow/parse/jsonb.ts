// What lives here: attributes as jsonb, written as Postgres itself writes them: keys by length and then by bytes, one space after colon and comma.
// Invariant: what is sent equals what the database sends back, so that a hash over rows can be made again from the table.
// Apart because Postgres' normal form is a fact of its own, and both the byte path and the text path need it.
import type { Cursor } from './format.ts';

/** jsonb's order of keys: the shorter first, equal lengths by bytes. */
export const byJsonbOrder = (left: string, right: string): number => {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length - b.length || Buffer.compare(a, b);
};

/** Escapes of JSON as Postgres writes them; every other control character becomes \u00xx. */
const shortEscapes = new Map<number, string>([
  [8, '\\b'],
  [9, '\\t'],
  [10, '\\n'],
  [12, '\\f'],
  [13, '\\r'],
  [34, '\\"'],
  [92, '\\\\'],
]);
const escapes: readonly (Buffer | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const short = shortEscapes.get(byte);
  if (short !== undefined) return Buffer.from(short);
  return byte < 32 ? Buffer.from(`\\u${byte.toString(16).padStart(4, '0')}`) : undefined;
});

/** Most bytes that one byte of a field takes in jsonb: `\u0001`. */
export const JSONB_EXPANSION_MAX = 6;

interface Attribute {
  readonly name: string;
  readonly slot: number;
  /** Numbers stand without quotes. */
  readonly number: boolean;
}

/** Makes the writer of a format's attributes. Fields that are absent (`-` for a number) are left out. */
export function attributeWriter(attributes: readonly Attribute[]): (cursor: Cursor, out: Buffer, at: number) => number {
  const sorted = attributes.toSorted((left, right) => byJsonbOrder(left.name, right.name));
  const keys = sorted.map(({ name }) => Buffer.from(`${JSON.stringify(name)}: `));
  return (cursor, out, start) => {
    let at = start;
    out[at++] = 1;
    out[at++] = 123;
    for (let index = 0; index < sorted.length; index++) {
      const { slot, number } = sorted[index]!;
      const from = cursor.from[slot]!;
      if (from < 0) continue;
      if (at > start + 2) {
        out[at++] = 44;
        out[at++] = 32;
      }
      const key = keys[index]!;
      for (let byte = 0; byte < key.length; byte++) out[at++] = key[byte]!;
      at = number ? plainly(cursor, from, cursor.to[slot]!, out, at) : quoted(cursor, from, cursor.to[slot]!, out, at);
    }
    out[at++] = 125;
    return at;
  };
}

function plainly(cursor: Cursor, from: number, to: number, out: Buffer, start: number): number {
  let at = start;
  for (let index = from; index < to; index++) out[at++] = cursor.bytes[index]!;
  return at;
}

function quoted(cursor: Cursor, from: number, to: number, out: Buffer, start: number): number {
  let at = start;
  out[at++] = 34;
  for (let index = from; index < to; index++) {
    const byte = cursor.bytes[index]!;
    if (byte >= 32 && byte !== 34 && byte !== 92) {
      out[at++] = byte;
      continue;
    }
    const escape = escapes[byte]!;
    for (let part = 0; part < escape.length; part++) out[at++] = escape[part]!;
  }
  out[at++] = 34;
  return at;
}

/** An object of strings and whole numbers as jsonb's text, in Postgres' own order and spacing. */
export const jsonbText = (value: Readonly<Record<string, string | number>>): string =>
  `{${inJsonbOrder(Object.keys(value))
    .map(
      (key) => `${jsonbString(key)}: ${typeof value[key] === 'number' ? String(value[key]) : jsonbString(value[key]!)}`,
    )
    .join(', ')}}`;

/** Records of one kind have the same few sets of keys, so their order is remembered; the bound keeps strangers' keys from filling memory. */
const orders = new Map<string, readonly string[]>();
const ORDERS_MAX = 256;

function inJsonbOrder(keys: readonly string[]): readonly string[] {
  const set = JSON.stringify(keys);
  const known = orders.get(set);
  if (known !== undefined) return known;
  const sorted = keys.toSorted(byJsonbOrder);
  if (orders.size < ORDERS_MAX) orders.set(set, sorted);
  return sorted;
}

/** A string as jsonb writes it. `JSON.stringify` differs only for lone surrogates, which no text of Postgres can hold anyway. */
const jsonbString = (text: string): string => JSON.stringify(text);
