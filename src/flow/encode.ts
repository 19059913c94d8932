// What lives here: values of a row as fields of COPY BINARY.
// Invariant: a value is encoded exactly or refused with a reason; nothing is rounded, cut or guessed.
// Apart from the reader of log lines, whose encoder works on bytes and knows its columns beforehand.
import { isExactNumber, writeJson } from '../model/exact-json.ts';
import type { Column, ColumnType } from './table.ts';
import type { Violation } from './types.ts';

/** A value that its column cannot take. `code` groups, the message may quote the value. */
class Unfit extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Grows as needed; one per chunk. */
export interface TupleBuffer {
  bytes: Buffer;
  used: number;
}

export const createTupleBuffer = (): TupleBuffer => ({ bytes: Buffer.allocUnsafeSlow(256 * 1024), used: 0 });

/** Where so many bytes go. It may put another buffer into `out.bytes`, so call it before `out.bytes` is read. */
function room(out: TupleBuffer, more: number): number {
  const at = out.used;
  if (at + more > out.bytes.byteLength) {
    const larger = Buffer.allocUnsafeSlow(Math.max(out.bytes.byteLength * 2, at + more));
    out.bytes.copy(larger, 0, 0, at);
    out.bytes = larger;
  }
  out.used = at + more;
  return at;
}

/** Writes one tuple, or nothing and all that is wrong. Absent, undefined and null are NULL. */
export function writeTuple(
  out: TupleBuffer,
  columns: readonly Column[],
  row: Readonly<Record<string, unknown>>,
): Violation[] {
  const start = out.used;
  const violations: Violation[] = [];
  const countAt = room(out, 2);
  out.bytes.writeInt16BE(columns.length, countAt);
  for (const { name, type } of columns) {
    const value = Object.hasOwn(row, name) ? row[name] : undefined;
    try {
      writeField(out, type, value);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      violations.push({ field: name, code: error.code, message: error.message });
    }
  }
  if (violations.length > 0) out.used = start;
  return violations;
}

function writeField(out: TupleBuffer, type: ColumnType, value: unknown): void {
  if (value === null || value === undefined) {
    const nullAt = room(out, 4);
    out.bytes.writeInt32BE(-1, nullAt);
    return;
  }
  const field = encoders[type](value);
  const at = room(out, 4 + field.byteLength);
  out.bytes.writeInt32BE(field.byteLength, at);
  out.bytes.set(field, at + 4);
}

const fixed = (bytes: number, write: (buffer: Buffer) => void): Buffer => {
  const buffer = Buffer.allocUnsafe(bytes);
  write(buffer);
  return buffer;
};

const shown = (value: unknown): string => {
  if (typeof value === 'string') return `"${value.slice(0, 100).toWellFormed()}"`;
  return plainOf(value)?.slice(0, 100) ?? `A value of type ${typeof value}`;
};

/** The text of what is one value, without a digit lost: String(-0) is "0". */
function plainOf(value: unknown): string | undefined {
  if (Object.is(value, -0)) return '-0';
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' || isExactNumber(value)
    ? String(value)
    : undefined;
}

function textOf(value: unknown): string {
  const plain = typeof value === 'string' ? value : plainOf(value);
  if (plain === undefined) throw new Unfit('not_text', `${shown(value)} is no text.`);
  if (plain.includes('\0')) throw new Unfit('text_nul', 'The text holds a NUL character, which Postgres cannot store.');
  if (!plain.isWellFormed())
    throw new Unfit('text_surrogate', 'The text holds half of a surrogate pair, which is no character.');
  return plain;
}

function integerOf(given: unknown, min: bigint, max: bigint): bigint {
  const value = isExactNumber(given) ? given.digits : given;
  const whole =
    typeof value === 'bigint'
      ? value
      : typeof value === 'number' && Number.isSafeInteger(value)
        ? BigInt(value)
        : typeof value === 'string' && /^[+-]?\d{1,30}$/.test(value)
          ? BigInt(value.replace(/^\+/, ''))
          : undefined;
  if (whole === undefined)
    throw new Unfit('not_integer', `${shown(value)} is no whole number that can be kept exactly.`);
  if (whole < min || whole > max) throw new Unfit('out_of_range', `${shown(value)} is outside of ${min}..${max}.`);
  return whole;
}

/** A column of doubles takes the nearest to a decimal, as declared. A whole number is refused where that is another one, and so is what would be 0 or infinite. */
function doubleOf(given: unknown): number {
  const value = isExactNumber(given) ? given.digits : given;
  const decimal = typeof value === 'string' ? /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.exec(value) : null;
  const number = decimal || typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number))
    throw new Unfit('not_number', `${shown(given)} is no finite number.`);
  const lost = typeof value === 'bigint' ? BigInt(number) !== value : number === 0 && /[1-9]/.test(decimal?.[1] ?? '');
  if (lost) throw new Unfit('not_exact', `${shown(given)} cannot be kept in a double; declare the column as numeric.`);
  return number;
}

/** Days from 2000-01-01 of a calendar date, refused if there is no such day. */
function dayOf(year: string, month: string, day: string): number {
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const date = new Date(ms);
  date.setUTCFullYear(Number(year));
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day))
    throw new Unfit('no_such_day', `There is no day ${year}-${month}-${day}.`);
  return Math.round((date.getTime() - 946_684_800_000) / 86_400_000);
}

function dateOf(value: unknown): number {
  const match = typeof value === 'string' ? /^(\d{4})-(\d\d)-(\d\d)$/.exec(value) : null;
  if (!match) throw new Unfit('not_date', `${shown(value)} is no date such as 2026-11-21.`);
  return dayOf(match[1]!, match[2]!, match[3]!);
}

const instant = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?(Z|[+-]\d\d(?::?\d\d)?)$/i;

/** Microseconds from 2000-01-01 UTC. A text needs its offset: a time without one is no instant. */
function instantOf(value: unknown): bigint {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new Unfit('not_instant', 'The date is invalid.');
    return BigInt(value.getTime() - 946_684_800_000) * 1000n;
  }
  const match = typeof value === 'string' ? instant.exec(value) : null;
  if (!match)
    throw new Unfit('not_instant', `${shown(value)} is no time with an offset, such as 2026-11-21T09:30:00Z.`);
  const [, year, month, day, hour, minute, second = '0', fraction = '', zone] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59)
    throw new Unfit('no_such_time', `There is no time ${hour}:${minute}:${second}.`);
  const seconds =
    dayOf(year!, month!, day!) * 86_400 + Number(hour) * 3_600 + Number(minute) * 60 + Number(second) - offsetOf(zone!);
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
}

function offsetOf(zone: string): number {
  const match = /^([+-])(\d\d):?(\d\d)?$/.exec(zone);
  if (!match) return 0;
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 3_600 + Number(match[3] ?? 0) * 60);
}

/** jsonb: version 1 and the text. What Postgres' jsonb cannot hold is refused here already. */
function jsonbOf(value: unknown): Buffer {
  let text: string | undefined;
  try {
    text = writeJson(value);
  } catch (error) {
    throw new Unfit(
      'not_json',
      `${shown(value)} cannot be written as JSON: ${error instanceof Error ? error.message.slice(0, 200) : ''}`,
    );
  }
  if (text === undefined) throw new Unfit('not_json', `${shown(value)} cannot be written as JSON.`);
  // JSON.stringify escapes NUL and lone surrogates; an escaped backslash before the u means the text itself says \\u0000.
  if (/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(text))
    throw new Unfit('json_text', 'A text in it holds NUL or half of a surrogate pair, which jsonb cannot store.');
  return Buffer.concat([Buffer.of(1), Buffer.from(text)]);
}

/** numeric from its decimal digits, so that no digit is lost on the way through a double. */
function numericOf(value: unknown): Buffer {
  const text =
    (typeof value === 'number' && Number.isFinite(value)) || typeof value === 'bigint' || isExactNumber(value)
      ? String(value)
      : value;
  const match = typeof text === 'string' ? /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text) : null;
  if (!match || (match[2] === '' && (match[3] ?? '') === ''))
    throw new Unfit('not_number', `${shown(value)} is no decimal number.`);
  const exponent = Number(match[4] ?? 0);
  let digits = match[2]! + (match[3] ?? '');
  let point = match[2]!.length + exponent;
  if (point > 1_000 || digits.length - point > 1_000 || digits.length > 1_000)
    throw new Unfit('out_of_range', `${shown(value)} has too many digits.`);
  if (point < 0) [digits, point] = ['0'.repeat(-point) + digits, 0];
  if (point > digits.length) digits = digits.padEnd(point, '0');
  const whole = digits.slice(0, point).padStart(Math.ceil(point / 4) * 4, '0');
  const part = digits.slice(point);
  const groups = (whole + part.padEnd(Math.ceil(part.length / 4) * 4, '0')).match(/\d{4}/g)?.map(Number) ?? [];
  let weight = whole.length / 4 - 1;
  while (groups[0] === 0) {
    groups.shift();
    weight--;
  }
  while (groups.at(-1) === 0) groups.pop();
  return fixed(8 + groups.length * 2, (buffer) => {
    buffer.writeInt16BE(groups.length, 0);
    buffer.writeInt16BE(groups.length === 0 ? 0 : weight, 2);
    buffer.writeUInt16BE(match[1] === '-' && groups.length > 0 ? 0x4000 : 0, 4);
    buffer.writeInt16BE(part.length, 6);
    groups.forEach((group, index) => buffer.writeInt16BE(group, 8 + index * 2));
  });
}

function uuidOf(value: unknown): Buffer {
  if (typeof value !== 'string' || !/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i.test(value))
    throw new Unfit('not_uuid', `${shown(value)} is no UUID.`);
  return Buffer.from(value.replaceAll('-', ''), 'hex');
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Unfit('not_bytes', `${shown(value)} is no Uint8Array.`);
  return value;
}

function booleanOf(value: unknown): Buffer {
  if (typeof value !== 'boolean') throw new Unfit('not_boolean', `${shown(value)} is neither true nor false.`);
  return Buffer.of(value ? 1 : 0);
}

const encoders: Readonly<Record<ColumnType, (value: unknown) => Uint8Array>> = {
  text: (value) => Buffer.from(textOf(value)),
  bigint: (value) => fixed(8, (buffer) => buffer.writeBigInt64BE(integerOf(value, -(2n ** 63n), 2n ** 63n - 1n))),
  integer: (value) => fixed(4, (buffer) => buffer.writeInt32BE(Number(integerOf(value, -(2n ** 31n), 2n ** 31n - 1n)))),
  'double precision': (value) => fixed(8, (buffer) => buffer.writeDoubleBE(doubleOf(value))),
  numeric: numericOf,
  boolean: booleanOf,
  timestamptz: (value) => fixed(8, (buffer) => buffer.writeBigInt64BE(instantOf(value))),
  date: (value) => fixed(4, (buffer) => buffer.writeInt32BE(dateOf(value))),
  jsonb: jsonbOf,
  uuid: uuidOf,
  bytea: bytesOf,
};
