// What lives here: how what goes wrong during a call gets its code and its sentence.
// Invariant: nothing that the other side wrote, and nothing we sent, is repeated: of a URL only what was declared, of a method only those of HTTP.
// Apart because undici's errors carry bytes of the answer, which may echo a credential: they end here and never become a cause.
import { classify } from '../../model/classify.ts';
import { type Code, CodedError, codes, type Failure, failure } from '../../model/failure.ts';
import { isTimeout } from '../abort.ts';
import type { Fault, Headers } from './decode.ts';
import { shownPath } from './origins.ts';
import { toldMethod } from '../../model/told.ts';

/** The call that failed, as people may see it. */
export interface Call {
  readonly key: string;
  readonly method: string;
  readonly url: URL;
  /** The declared address: all of a URL that is no word of a record's or of the other side's. */
  readonly base: URL;
  /** It was sent with an Idempotency-Key. */
  readonly keyed?: boolean;
  /** Of a read of pages which it was, from 1: a number of ours, so it may be told where a link may not. */
  readonly page?: number | undefined;
}

/** How far it had come: before `asked` nothing was sent. */
export type Phase = 'resolving' | 'connecting' | 'asked' | 'answering';

const asked = ({ method, url, base, page }: Call): string =>
  `${toldMethod(method)} ${shownPath(url, base)}${page === undefined ? '' : ` (page ${page})`}`;

export const faultOf =
  (call: Call, status: number): Fault =>
  (code, what) =>
    new CodedError(code, `${call.key} answered ${status} to ${asked(call)} ${what}. Nothing of the answer was used.`, {
      upstream: call.key,
    });

const where: Readonly<Record<Phase, string>> = {
  resolving: 'its name was still being looked up, so nothing was sent',
  connecting: 'it was still connecting, so nothing was sent',
  asked: 'no answer had begun',
  answering: 'the answer was not complete',
};

/** Gives an error of DNS, socket or parser its code. Our own errors and the caller's own abort pass as they are. */
export function named(error: unknown, call: Call, phase: Phase, signal: AbortSignal): unknown {
  if (error instanceof CodedError) return error;
  if (signal.aborted) {
    const reason: unknown = signal.reason;
    if (!isTimeout(reason)) return reason;
    const text = `${call.key} was not done with ${asked(call)} in time: ${where[phase]}.`;
    const sent = phase === 'asked' || phase === 'answering';
    return asKnown(failure('net_timeout', text, { rule: 'raised', ...(sent ? {} : { commit: 'no' }) }), call, text);
  }
  const broken = phase === 'asked' || phase === 'answering' ? brokenHttp(error, call, phase) : undefined;
  if (broken) return broken;
  const known = classify(error);
  // What is lost while it is being made has carried nothing; in mid-call nobody knows what had gone out before.
  const unsent = phase === 'resolving' || phase === 'connecting';
  return asKnown(
    unsent && known.commit === 'unknown' ? { ...known, commit: 'no' } : known,
    call,
    `${call.key} at ${call.url.host}, ${asked(call)}: ${known.text}`,
  );
}

/** What only somebody who knows how far the answer had come can tell apart. */
function brokenHttp(error: unknown, call: Call, phase: 'asked' | 'answering'): CodedError | undefined {
  const { code, name, message } = error as { code?: unknown; name?: unknown; message?: unknown };
  const begun = phase === 'answering';
  const of = (named: Code, what: string): CodedError =>
    new CodedError(named, `${call.key} answered ${asked(call)} ${what}. Nothing of it was used.`, {
      upstream: call.key,
    });
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return of('answer_too_large', 'with more headers than are read');
  // undici gives its parser's errors no code of their own; the end of a connection inside a chunk is one of them.
  const parser = name === 'HTTPParserError';
  if (begun && (cuts.has(code) || (parser && /EOF/i.test(String(message)))))
    return of('answer_cut', `with less than it had announced (${String(code ?? name)})`);
  if (parser || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH')
    return of('answer_unreadable', `with what is no HTTP: ${begun ? 'its body' : 'its head'} breaks the rules`);
  return undefined;
}

/** Ends of a connection, as undici and the system call them; in the middle of a body each is a cut. */
const cuts: ReadonlySet<unknown> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'UND_ERR_SOCKET',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_ABORTED',
  'UND_ERR_DESTROYED',
]);

/** The error of a status that is none of success. Nothing of its body is repeated. */
export function refusal(call: Call, status: number, headers: Headers): CodedError {
  // To a call with a key of its own a conflict means that the same call is still under way.
  const known =
    status === 409 && call.keyed === true
      ? failure('http_409_in_progress', codes.http_409_in_progress.says, { rule: 'status:409, keyed' })
      : classify({ statusCode: status, headers });
  return asKnown(known, call, `${call.key} answered ${status} to ${asked(call)}. Nothing of the answer was used.`);
}

/** The failure as `classify` knows it, rule, wait and commit certainty included, with a sentence that names the call. */
const asKnown = (known: Failure, { key }: Call, text: string): CodedError =>
  Object.assign(new CodedError(known.code, text), {
    failure: failure(known.code, text, { ...known, text, upstream: key }),
  });
