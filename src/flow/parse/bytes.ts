// What lives here: a source as bytes at positions, whatever codec it is stored in.
// Invariant: a position is an offset in the decoded stream; the same position always gives the same bytes.
// Apart because ranges, letters and identity count decoded bytes, and only this file knows how they are stored.
import { read } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CodedError } from '../../model/failure.ts';

/** How a source is stored. */
export type Codec = 'none' | 'gzip';

export interface Bytes {
  /** Fills `into` from `position` on as far as the source reaches; returns how many bytes there were, 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>;
}

/** A descriptor that is known by its number: it may be shared with a thread, because reads name their position. */
export const bytesOf = (fd: number, codec: Codec): Bytes => (codec === 'none' ? plainBytes(fd) : gzipBytes(fd));

const readAt = (fd: number, into: Uint8Array, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });

const plainBytes = (fd: number): Bytes => ({ read: (into, position) => readAt(fd, into, position) });

/** Bytes of the file that are decoded at once. */
const GZIP_READ_BYTES = 256 * 1024;

/** Decodes from the start and forward; a position that is behind begins anew, so ranges should come in order. */
function gzipBytes(fd: number): Bytes {
  let decoded: AsyncIterator<Buffer> | undefined;
  let at = 0;
  let rest: Buffer = Buffer.alloc(0);
  async function* stored(): AsyncGenerator<Buffer> {
    for (let position = 0; ;) {
      const block = Buffer.allocUnsafe(GZIP_READ_BYTES);
      const count = await readAt(fd, block, position);
      if (count === 0) return;
      position += count;
      yield block.subarray(0, count);
    }
  }
  const begin = (): AsyncIterator<Buffer> => {
    at = 0;
    rest = Buffer.alloc(0);
    const source = Readable.from(stored());
    const gunzip = createGunzip();
    source.on('error', (error) => gunzip.destroy(error));
    return source.pipe(gunzip)[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  };
  const more = async (): Promise<boolean> => {
    try {
      const next = await decoded!.next();
      if (next.done === true) return false;
      rest = next.value;
      return true;
    } catch (cause) {
      throw gzipFault(cause, at);
    }
  };
  return {
    async read(into, position) {
      if (decoded === undefined || position < at) decoded = begin();
      let count = 0;
      while (count < into.length) {
        if (rest.length === 0 && !(await more())) break;
        const skip = Math.min(rest.length, Math.max(0, position - at));
        const taken = rest.subarray(skip, skip + into.length - count);
        into.set(taken, count);
        count += taken.length;
        at += skip + taken.length;
        rest = rest.subarray(skip + taken.length);
        position += taken.length;
      }
      return count;
    },
  };
}

/** A stream that ends in the middle or is damaged cannot be told from a file that is still being copied: the reader says where it stopped. */
function gzipFault(cause: unknown, at: number): unknown {
  const code = (cause as { code?: unknown }).code;
  if (typeof code !== 'string' || !code.startsWith('Z_')) return cause;
  const text = `The gzip stream breaks off or is damaged behind byte ${at} of its content. Nothing behind it was loaded; put the whole file in place and retry.`;
  return new CodedError('source_shrunk', text, { cause });
}
