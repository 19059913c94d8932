// What lives here: one request and its whole answer over one connection.
// Invariant: it ends with the signal at the latest; a connection that did not carry a whole answer is ended, never used again.
// Apart because here undici is met: what it takes for a complete answer is not what we do.
import type { Dispatcher } from 'undici';
import { untilAborted, within } from '../abort.ts';
import type { Connection } from './connections.ts';
import { type Fault, type Framing, framingOf, type Headers, headerOf } from './decode.ts';
import type { Phase } from './fault.ts';

export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** An idle connection may be closing this very moment, and then nobody knows what became of a call that may not be repeated. */
  readonly fresh?: boolean;
}

/** An answer as it came: nothing of it is unpacked or proved yet. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly packed: Buffer;
  readonly framing: Framing;
}

export interface Limits {
  readonly signal: AbortSignal;
  readonly bytesMax: number;
  faultOf(status: number): Fault;
  /** Told how far the call has come, so that its error can say so. */
  reached(phase: Phase): void;
}

/** Bodies of refusals are read for their problem type and to keep the connection; they get no time of their own beyond this. */
const ASIDE_BYTES_MAX = 64 * 1024;
const ASIDE_MS_MAX = 1_000;

export const succeeded = (status: number): boolean => (status >= 200 && status < 300) || status === 304;

/** Sends and receives. Throws what undici and the system throw, `Fault`s, or the signal's reason. */
export async function exchange(connection: Connection, asked: Asked, limits: Limits): Promise<Received> {
  const { signal } = limits;
  const begun = begin(connection, asked, limits);
  try {
    const { statusCode: status, headers, body } = await untilAborted(begun, signal);
    limits.reached('answering');
    const framing = framingOf(asked.method, status, headers);
    if (!succeeded(status)) {
      const packed = await aside(connection, body, headers, signal);
      return { status, headers, packed, framing };
    }
    const fault = limits.faultOf(status);
    const packed = await untilAborted(collect(body, headers, limits.bytesMax, fault), signal);
    await afterEnd(connection, fault);
    return { status, headers, packed, framing };
  } catch (error) {
    connection.end();
    // An answer that begins after we gave up has to be let go of, or its error would be nobody's.
    begun.then(
      ({ body }) => body.on('error', ignore).destroy(),
      () => undefined,
    );
    throw error;
  }
}

function begin(connection: Connection, asked: Asked, limits: Limits): Promise<Dispatcher.ResponseData> {
  const { client } = connection;
  const met = (): void => limits.reached('asked');
  if (connection.met()) met();
  else client.once('connect', met);
  return client.request({
    path: `${asked.url.pathname}${asked.url.search}`,
    method: asked.method as Dispatcher.HttpMethod,
    headers: asked.headers,
    body: asked.body ?? null,
  });
}

async function collect(body: AsyncIterable<Buffer>, headers: Headers, bytesMax: number, fault: Fault): Promise<Buffer> {
  const tooLarge = (): Error => fault('answer_too_large', `with more than ${bytesMax} bytes`);
  if (Number(headerOf(headers, 'content-length') ?? 0) > bytesMax) throw tooLarge();
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > bytesMax) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts, bytes);
}

/** Bytes after the end of an answer show that its length is a lie: then the answer is not what was meant. */
async function afterEnd(connection: Connection, fault: Fault): Promise<void> {
  // What came with the last bytes of the body is parsed right behind it.
  await new Promise((resolve) => setImmediate(resolve));
  if (connection.overrun()) throw fault('answer_cut', 'and went on after the end it had named');
}

/** Reads the body of a refusal as far as it comes quickly. Whatever goes wrong with it, the status stands. */
async function aside(
  connection: Connection,
  body: AsyncIterable<Buffer>,
  headers: Headers,
  signal: AbortSignal,
): Promise<Buffer> {
  const none: Fault = () => Object.assign(new Error('too large'));
  try {
    return await within(ASIDE_MS_MAX, signal, (limit) =>
      untilAborted(collect(body, headers, ASIDE_BYTES_MAX, none), limit),
    );
  } catch {
    // The connection is of no further use; what the refusal says besides its status is not worth a second failure.
    connection.end();
    return Buffer.alloc(0);
  }
}

const ignore = (): void => undefined;
