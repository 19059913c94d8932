// What lives here: COPY … FROM STDIN for pg, from buffers that are sent as they are.
// Invariant: whatever the server or the socket does, the promise settles once and nothing is thrown past it; after a refusal the connection goes on.
// Apart because it speaks the wire protocol; the rest of the house speaks SQL.
import type pg from 'pg';

/** Bytes put into one CopyData message: large enough for full speed, small enough to notice a refusal early. */
const PIECE_BYTES = 64 * 1024;

/** How long the server is given to refuse a row of a piece before the next piece is sent. */
const OBJECTION_MS = 1;

/** Signature, flags and an empty extension: how every COPY BINARY begins. */
const binaryHeader = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const binaryTrailer = Buffer.from([0xff, 0xff]);

interface Wire {
  readonly stream: NodeJS.WritableStream & { cork(): void; uncork(): void; destroy(): void };
  query(text: string): void;
  endCopyFrom(): void;
}

interface Query {
  ended(): boolean;
  fail(error: unknown): void;
}

export interface CopyOptions {
  /** Called once when half of the bytes have been handed to the socket; for failpoints. */
  readonly midway?: () => void;
  /** Where a refusal is likely: begins with this many bytes, doubles them, and gives the server time to object in between, so that little is sent in vain. */
  readonly cautiousBytes?: number;
}

/**
 * Copies COPY BINARY tuples (without header and trailer) by the given statement, which may be preceded by others in the same text.
 * Resolves with the rows of COPY's command tag; rejects with the server's error or the loss of the connection.
 */
export function copyTuples(
  client: pg.ClientBase,
  sql: string,
  tuples: readonly Uint8Array[],
  options: CopyOptions = {},
): Promise<number> {
  return copyIn(client, sql, [binaryHeader, ...tuples, binaryTrailer], options);
}

/** As `copyTuples`, for bytes in any COPY format; the parts are sent one after the other. */
export function copyIn(
  client: pg.ClientBase,
  sql: string,
  parts: readonly Uint8Array[],
  options: CopyOptions = {},
): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    client.query(submittable(sql, parts, options, resolve, reject) as unknown as pg.Submittable);
  });
}

function submittable(
  sql: string,
  parts: readonly Uint8Array[],
  options: CopyOptions,
  resolve: (rows: number) => void,
  reject: (error: unknown) => void,
) {
  let ended = false;
  let rows = 0;
  const self = {
    // pg puts its read timeout around this callback and clears it when the callback is called.
    callback: undefined as ((error: unknown) => void) | undefined,
    submit(wire: Wire): void {
      wire.query(sql);
    },
    handleCopyInResponse(wire: Wire): void {
      pump(wire, parts, options, { ended: () => ended, fail: (error) => self.handleError(error, wire) });
    },
    handleCommandComplete(message: { text: string }): void {
      const match = /^COPY (\d+)/.exec(message.text);
      if (match) rows = Number(match[1]);
    },
    handleError(error: unknown, wire: Wire): void {
      if (ended) return;
      ended = true;
      // An error without a code is not the server's: the read timeout, or a dead socket. The state of the COPY is then unknown.
      if (typeof (error as { code?: unknown }).code !== 'string') wire.stream.destroy();
      self.callback?.(error);
      reject(error);
    },
    handleReadyForQuery(): void {
      if (ended) return;
      ended = true;
      self.callback?.(null);
      resolve(rows);
    },
    handleRowDescription: ignored,
    handleDataRow: ignored,
    handlePortalSuspended: ignored,
    handleEmptyQuery: ignored,
    handleCopyData: ignored,
  };
  return self;
}

/** Messages that COPY … FROM STDIN never gets, but pg expects every query to accept. */
const ignored = (): void => undefined;

/** Slices of the parts, without copying: none longer than the first size or than all before it together, and none above 64 KiB. */
function* frames(parts: readonly Uint8Array[], firstBytes: number): Generator<Uint8Array> {
  let sent = 0;
  for (const part of parts)
    for (let at = 0; at < part.byteLength;) {
      const piece = part.subarray(at, at + Math.min(Math.max(firstBytes, sent), PIECE_BYTES));
      at += piece.byteLength;
      sent += piece.byteLength;
      yield piece;
    }
}

/** Writes until the socket is full, goes on when it has drained, and stops at the first sign of an end. */
function pump(wire: Wire, parts: readonly Uint8Array[], options: CopyOptions, query: Query): void {
  const { stream } = wire;
  const { cautiousBytes } = options;
  const source = frames(parts, cautiousBytes ?? PIECE_BYTES);
  const half = parts.reduce((sum, part) => sum + part.byteLength, 0) / 2;
  let midway = options.midway;
  let sent = 0;
  let unanswered = 0;
  const step = (): void => {
    while (!query.ended()) {
      const next = source.next();
      if (next.done) {
        wire.endCopyFrom();
        return;
      }
      const piece = next.value;
      const more = writeFrame(stream, piece);
      sent += piece.byteLength;
      unanswered += piece.byteLength;
      if (midway && sent >= half) {
        const hook = midway;
        midway = undefined;
        stream.uncork(); // What counts as sent has to have left when the hook stops this process.
        hook();
        stream.cork();
      }
      if (cautiousBytes !== undefined && unanswered >= cautiousBytes && piece.byteLength < PIECE_BYTES) {
        unanswered = 0;
        setTimeout(guarded, OBJECTION_MS);
        return;
      }
      if (!more) {
        stream.once('drain', guarded);
        return;
      }
    }
  };
  // This runs in handlers of the socket, where anything thrown would end the process.
  const guarded = (): void => {
    stream.cork();
    try {
      step();
    } catch (error) {
      query.fail(error);
    }
    stream.uncork();
  };
  guarded();
}

/** One CopyData message; the payload is not copied. The caller has corked the stream, so that header and payload leave in one system call. */
function writeFrame(stream: Wire['stream'], piece: Uint8Array): boolean {
  const head = Buffer.allocUnsafe(5);
  head[0] = 0x64;
  head.writeInt32BE(piece.byteLength + 4, 1);
  stream.write(head);
  return stream.write(piece);
}
