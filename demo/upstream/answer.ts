// What lives here: one answer of the demo upstream, whole or broken as its fault says.
// Invariant: nothing is left behind: a wait ends when the caller hangs up or the server stops.
// Apart from the decision which fault is met, because this is about bytes.
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { type Fault, rateLimitResetText, retryAfterText } from './faults.ts';
import type { Quake, Query } from './quakes.ts';

/** What is answered where nothing is wrong. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const json = (value: unknown, status = 200): Answer => ({
  status,
  type: 'application/json; charset=utf-8',
  body: JSON.stringify(value),
});
export const plain = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
  headers,
});

/** The status that goes into the log: what the caller will see at most. */
export const statusOf = (answer: Answer, fault: Fault | undefined): number => {
  if (fault?.kind === 'status') return fault.status;
  if ((fault?.kind === 'hang' || fault?.kind === 'reset') && fault.at === 'before-headers') return 0;
  return fault?.kind === 'bad-json' || fault?.kind === 'html' ? 200 : answer.status;
};

/** The records of one page, as far as the fault lets them be right. */
export function pageOf(found: readonly Quake[], query: Query, fault: Fault | undefined): readonly unknown[] {
  let offset = query.offset;
  if (fault?.kind === 'page-loop') offset = 1;
  if (fault?.kind === 'page-overlap') offset = Math.max(1, offset - fault.by);
  const page = found.slice(offset - 1, offset - 1 + query.limit);
  if (fault?.kind === 'page-missing') return page.slice(0, Math.max(0, page.length - fault.by));
  if (fault?.kind !== 'renamed') return page;
  return page.map((quake) => {
    const { [fault.field]: value, ...others } = quake.properties;
    return { ...quake, properties: { ...others, [fault.to]: value } };
  });
}

/** Sends it. `gone` is told what to end when the caller hangs up. */
export function send(response: ServerResponse, answer: Answer, fault: Fault | undefined, accepts: string): void {
  const body = Buffer.from(answer.body);
  switch (fault?.kind) {
    case 'status':
      return sendStatus(response, fault);
    case 'hang':
      if (fault.at === 'after-headers') {
        response.writeHead(answer.status, { 'content-type': answer.type, 'content-length': body.length });
        response.flushHeaders();
      }
      return;
    case 'late': {
      const timer = setTimeout(() => whole(response, answer, body, accepts), fault.afterMs);
      response.once('close', () => clearTimeout(timer));
      return;
    }
    case 'slow-body':
      return drip(response, answer, body, fault.everyMs);
    case 'truncated':
      return truncate(response, answer, body, fault.framing);
    case 'reset':
      return cut(response, answer, body, fault.at);
    case 'bad-json':
      return whole(response, { ...answer, status: 200 }, body.subarray(0, Math.max(1, body.length - 2)), '');
    case 'html':
      return whole(
        response,
        { ...answer, status: 200, type: 'text/html; charset=utf-8' },
        Buffer.from('<!doctype html><title>Maintenance</title><p>We are back soon.</p>'),
        '',
      );
    case 'renamed':
    case 'page-loop':
    case 'page-overlap':
    case 'page-missing':
    case undefined:
      // Well-formed lies are in the page already.
      return whole(response, answer, body, accepts);
  }
}

function whole(response: ServerResponse, { status, type, headers }: Answer, body: Buffer, accepts: string): void {
  const packed = /\bgzip\b/.test(accepts) && body.length > 1_024;
  const bytes = packed ? gzipSync(body, { level: 1 }) : body;
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes.length,
    ...(packed ? { 'content-encoding': 'gzip' } : {}),
    ...headers,
  });
  response.end(bytes);
}

function sendStatus(response: ServerResponse, fault: Fault & { kind: 'status' }): void {
  const now = Date.now();
  const { retryAfter, rateLimitReset } = fault;
  const bodyless = fault.status === 204 || fault.status === 304;
  const body = bodyless ? '' : (fault.body ?? `${fault.status}: so the script of the demo upstream says.\n`);
  response.writeHead(fault.status, {
    ...(bodyless ? {} : { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body) }),
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfterText(retryAfter, now) }),
    ...(rateLimitReset === undefined ? {} : { 'x-ratelimit-reset': rateLimitResetText(rateLimitReset, now) }),
  });
  response.end(body);
}

function drip(response: ServerResponse, { status, type }: Answer, body: Buffer, everyMs: number): void {
  response.writeHead(status, { 'content-type': type, 'content-length': body.length });
  let at = 0;
  const timer = setInterval(() => {
    if (at < body.length) response.write(body.subarray(at, ++at));
    else {
      clearInterval(timer);
      response.end();
    }
  }, everyMs);
  response.once('close', () => clearInterval(timer));
}

function truncate(
  response: ServerResponse,
  { status, type }: Answer,
  body: Buffer,
  framing: (Fault & { kind: 'truncated' })['framing'],
): void {
  const half = Math.ceil(body.length / 2);
  if (framing === 'gzip') {
    const packed = gzipSync(body);
    const part = packed.subarray(0, Math.max(1, packed.length - 12));
    response.writeHead(status, { 'content-type': type, 'content-encoding': 'gzip', 'content-length': part.length });
    response.end(part);
    return;
  }
  response.writeHead(status, {
    'content-type': type,
    ...(framing === 'content-length' ? { 'content-length': body.length } : {}),
  });
  // FIN after what was written: the caller gets half of it, and an end that looks orderly to a socket.
  response.write(body.subarray(0, half), () => response.socket?.end());
}

function cut(response: ServerResponse, { status, type }: Answer, body: Buffer, at: 'before-headers' | 'in-body'): void {
  if (at === 'before-headers') return void response.socket?.resetAndDestroy();
  response.writeHead(status, { 'content-type': type, 'content-length': body.length });
  response.write(body.subarray(0, Math.ceil(body.length / 2)), () => {
    // RST throws away what the caller has not read yet, so it gets a moment.
    const timer = setTimeout(() => response.socket?.resetAndDestroy(), 20);
    response.once('close', () => clearTimeout(timer));
  });
}
