// What lives here: from the bytes of an answer to its content: unpacked, within limits, and proved complete.
// Invariant: what is cut short anywhere, by any framing, is a failure and never a shorter answer.
// Apart because here it is decided whether an answer is whole, and the test cuts one at every byte.
import { Transform } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip } from 'node:zlib';
import { untilAborted } from '../abort.ts';
import { isNumeric, JSON_DEPTH_MAX } from '../../model/exact-json.ts';
import type { Code, CodedError } from '../../model/failure.ts';
import { readDocument } from '../../model/json-source.ts';

/** Makes the error of an answer: `what` goes on after "<upstream> answered <status> to <call>". */
export type Fault = (code: Code, what: string) => CodedError;

/** What said where the answer ends. `close`: only the end of the connection, which a cut looks like too. */
export type Framing = 'length' | 'chunked' | 'close' | 'none';

export const headerOf = (headers: Headers, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
};
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export function framingOf(method: string, status: number, headers: Headers): Framing {
  if (method === 'HEAD' || status === 204 || status === 304) return 'none';
  if (headers['transfer-encoding'] !== undefined) return 'chunked';
  return headers['content-length'] === undefined ? 'close' : 'length';
}

/** Above this size the ratio decides: real data compresses a hundredfold at most. */
const RATIO_FROM_BYTES = 1024 * 1024;
const RATIO_MAX = 200;

/** Unpacks a body. `ends`: the encoding itself said where it ends. Throws a `Fault`. */
export async function unpack(
  packed: Buffer,
  headers: Headers,
  limits: { readonly bytesMax: number; readonly signal: AbortSignal; readonly fault: Fault },
): Promise<{ bytes: Buffer; ends: boolean }> {
  const encoding = (headerOf(headers, 'content-encoding') ?? '').trim().toLowerCase();
  if (encoding === '' || encoding === 'identity') return { bytes: packed, ends: false };
  const unpacker =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? createGunzip({ finishFlush: constants.Z_FINISH })
      : encoding === 'br'
        ? createBrotliDecompress({ finishFlush: constants.BROTLI_OPERATION_FINISH })
        : undefined;
  if (!unpacker)
    throw limits.fault('answer_unreadable', 'with an encoding that was not asked for (only gzip and br are read)');
  try {
    return { bytes: await untilAborted(drain(unpacker, packed, limits), limits.signal), ends: true };
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'Z_BUF_ERROR') throw limits.fault('answer_cut', `and its ${encoding} ends before its end mark`);
    if (typeof code === 'string' && /^(Z_|ERR__?(ZLIB|BROTLI))/.test(code))
      throw limits.fault('answer_unreadable', `and its ${encoding} is damaged`);
    throw error;
  } finally {
    unpacker.destroy();
  }
}

async function drain(
  unpacker: Transform,
  packed: Buffer,
  { bytesMax, fault }: { readonly bytesMax: number; readonly fault: Fault },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  unpacker.end(packed);
  for await (const part of unpacker as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bytesMax) throw fault('answer_too_large', `and unpacks to more than ${bytesMax} bytes`);
    if (bytes > RATIO_FROM_BYTES && bytes > packed.length * RATIO_MAX)
      throw fault('answer_too_large', `and unpacks to more than ${RATIO_MAX} times its size`);
    parts.push(part);
  }
  return Buffer.concat(parts, bytes);
}

/** The content as text. Throws a `Fault` for bytes that are not in the named character set. */
export function textOf(bytes: Buffer, charset: string, fault: Fault): string {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes);
  } catch {
    throw fault('answer_unreadable', 'with bytes that are not in the character set it names');
  }
}

export const charsetOf = (headers: Headers): string =>
  /;\s*charset\s*=\s*"?([\w.:-]+)/i.exec(headerOf(headers, 'content-type') ?? '')?.[1] ?? 'utf-8';

/** The types worth naming. Any other may be a text of the other side's making, and may hold what we sent. */
const shownTypes: ReadonlySet<string> = new Set([
  'application/json',
  'application/geo+json',
  'application/xml',
  'text/csv',
  'text/html',
  'text/plain',
  'text/xml',
]);

/** The content as JSON, which is UTF-8 whatever the header says. `unproved`: only its own end can prove it whole. Throws a `Fault`. */
export function jsonOf(bytes: Buffer, headers: Headers, unproved: boolean, fault: Fault): unknown {
  const text = textOf(bytes, 'utf-8', fault);
  let value: unknown;
  try {
    value = readDocument(text);
  } catch (error) {
    if (error instanceof RangeError)
      throw fault('answer_unreadable', `with JSON that is nested deeper than ${JSON_DEPTH_MAX} levels`);
    // The parser's own message quotes the text, so it is not kept as a cause.
    if (unproved) throw fault('answer_cut', 'and the connection closed before its JSON did');
    const [type] = (headerOf(headers, 'content-type') ?? '').toLowerCase().split(';');
    throw fault(
      'answer_unreadable',
      `with ${shownTypes.has(type!.trim()) ? type!.trim() : 'something'} of ${bytes.length} bytes that is no JSON`,
    );
  }
  // Of all JSON only a number can be cut and still be one.
  if (unproved && isNumeric(value)) throw fault('answer_cut', 'with a number whose end nothing proves');
  return value;
}
