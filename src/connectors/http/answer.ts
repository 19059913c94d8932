// What lives here: a received answer becomes one that may be used: unpacked, in the form that was asked for, and proved whole.
// Invariant: an `HttpAnswer` exists only for an answer that is complete; JSON was read once, and reading it again costs nothing.
// Apart because completeness depends on framing, encoding and content together, and nowhere else do the three meet.
import { charsetOf, type Fault, type Headers, headerOf, jsonOf, textOf, unpack } from './decode.ts';
import type { Received } from './request.ts';

export type Accept = 'json' | 'text' | 'bytes';

export interface HttpAnswer {
  /** 2xx, or 304 for a conditional request. */
  readonly status: number;
  readonly headers: Headers;
  /** The content, unpacked. */
  readonly bytes: Buffer;
  /** Where it came from in the end: links in it are relative to this. */
  readonly url: string;
  /** The content as text, in the character set it names. */
  text(): string;
  /**
   * The content as JSON, with every digit: a whole number beyond 2^53 is a bigint, any other that a double does not hold an `ExactNumber`.
   * Undefined where the answer has none by its status (204, 304) or method (HEAD).
   */
  json(): unknown;
}

export interface Wanted {
  /** Undefined: what the answer names itself. */
  readonly accept: Accept | undefined;
  readonly bytesMax: number;
  readonly whole: ((bytes: Buffer) => boolean) | undefined;
}

/** Unpacks and proves. Throws `answer_cut`, `answer_unreadable`, `answer_too_large`. */
export async function answerOf(
  url: URL,
  received: Received,
  wanted: Wanted,
  more: { readonly signal: AbortSignal; readonly fault: Fault },
): Promise<HttpAnswer> {
  const { status, headers, framing } = received;
  const { fault } = more;
  if (framing === 'none')
    return { status, headers, bytes: Buffer.alloc(0), url: url.href, text: () => '', json: () => undefined };
  if (status === 206 && headers['content-range'] !== undefined && wanted.accept !== 'bytes')
    throw fault('answer_cut', 'with a part where the whole was asked for');
  const coding = headerOf(headers, 'transfer-encoding')?.trim().toLowerCase();
  if (coding !== undefined && coding !== 'chunked')
    throw fault('answer_unreadable', 'with a transfer coding that was not asked for');
  const { bytes, ends } = await unpack(received.packed, headers, { ...more, bytesMax: wanted.bytesMax });
  const accept = wanted.accept ?? (isJson(headers) ? 'json' : 'bytes');
  const unproved = framing === 'close' && !ends;
  const parsed = accept === 'json' ? { value: jsonOf(bytes, headers, unproved, fault) } : undefined;
  const text = accept === 'text' ? textOf(bytes, charsetOf(headers), fault) : undefined;
  if (wanted.whole) {
    if (!wanted.whole(bytes)) throw fault('answer_cut', `with ${bytes.length} bytes that do not end as they have to`);
  } else if (unproved && accept !== 'json')
    throw fault('answer_cut', 'without a length or an end mark, so that nothing proves it whole (see `whole`)');
  return {
    status,
    headers,
    bytes,
    url: url.href,
    text: () => text ?? textOf(bytes, charsetOf(headers), fault),
    json: () => (parsed ? parsed.value : jsonOf(bytes, headers, false, fault)),
  };
}

const isJson = (headers: Headers): boolean => /[/+]json\b/i.test(headerOf(headers, 'content-type') ?? '');
