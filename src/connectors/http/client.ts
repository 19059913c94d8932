// What lives here: `openHttp`: calls to one HTTP upstream, through its breaker, each a complete answer or a coded error.
// Invariant: one call to the other side for each call of ours (redirects aside): retrying is Temporal's alone.
// Apart because it puts origins, addresses, sockets, decoding and codes together, and does none of their work.
import { writeJson } from '../../model/exact-json.ts';
import { CodedError } from '../../model/failure.ts';
import { CONCURRENCY, type Secret, type Upstream } from '../../model/upstream.ts';
import { type Lookup, type Pins, resolver } from '../resolve.ts';
import { slots } from '../slots.ts';
import type { CallOptions, UpstreamClient } from '../upstream.ts';
import { type Accept, answerOf, type HttpAnswer } from './answer.ts';
import { type Connection, connections } from './connections.ts';
import { refuseBad } from './good.ts';
import { type Call, faultOf, named, type Phase, refusal } from './fault.ts';
import { type Origins, originsOf } from './origins.ts';
import { type Next, type PageRules, pagesOf } from './paging.ts';
import { type Asked, exchange, type Received, succeeded } from './request.ts';

export interface HttpOptions extends CallOptions {
  /** Added to the query of the path. */
  readonly query?: Readonly<Record<string, string | number>>;
  /** Sent beside the declared headers, and like them to the declared origin only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What the answer has to be; anything else is `answer_unreadable`. Default: `json` for GET, and what the answer names itself for `send`. */
  readonly accept?: Accept;
  /** Largest content, unpacked. Default 64 MiB. */
  readonly bytesMax?: number;
  /** Own proof that the content is whole, such as a closing tag; false is `answer_cut`. Needed for text that has no length. */
  readonly whole?: (bytes: Buffer) => boolean;
}

export interface SendOptions extends HttpOptions {
  /** Text and bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
  /** Sent as Idempotency-Key, so that a repeated call is recognised. */
  readonly idempotencyKey?: string;
}

export interface PagesOptions extends HttpOptions, PageRules {}

/** Calls to one upstream. Every error is coded; see the table in model/failure.ts. */
export interface HttpClient {
  readonly key: string;
  /** One GET below the declared address, complete or an error. */
  get(path: string, options?: HttpOptions): Promise<HttpAnswer>;
  /** Any other call. Redirects are not followed, but for HEAD. */
  send(method: string, path: string, options?: SendOptions): Promise<HttpAnswer>;
  /** Page after page of one read, all from the same address. `query` belongs to the first page. */
  pages(first: string, next: Next, options?: PagesOptions): AsyncGenerator<HttpAnswer, void, undefined>;
}

export interface OpenHttpOptions {
  /** The value of a declared secret, read anew at each call. Throws `secret_missing`. */
  readSecret(secret: Secret): string;
  /** How names are resolved. Default: the system's getaddrinfo. */
  readonly lookup?: Lookup;
  /** Authorities whose certificates are trusted, in PEM, instead of Node's own. */
  readonly ca?: readonly string[];
}

export interface OpenHttp extends HttpClient {
  /** Connections that stand or are being made. */
  connections(): number;
  /** Ends every connection; calls under way fail. */
  close(): Promise<void>;
}

const BYTES_MAX = 64 * 1024 * 1024;
const REDIRECTS_MAX = 5;
const followed: readonly number[] = [301, 302, 303, 307, 308];

/** Opens the client of one upstream. Throws `config_invalid` for an address that cannot be called. */
export function openHttp(upstream: UpstreamClient, options: OpenHttpOptions): OpenHttp {
  const { key, declared } = upstream;
  const origins = originsOf(key, declared);
  const wire = wireOf(options);
  const credentials = (): Readonly<Record<string, string>> =>
    credentialsOf(key, declared, (secret) => options.readSecret(secret));
  const atOnce = slots(declared.concurrency ?? CONCURRENCY);

  const operate = (method: string, first: URL, more: SendOptions, { pins, page }: Read): Promise<HttpAnswer> =>
    // In line before the breaker is asked: time in our own line is not the upstream's, and is not charged to it.
    atOnce.hold(more.signal, () =>
      upstream.call(async (signal) => {
        const declaredHeaders = credentials();
        const seen = new Set<string>();
        for (let url = first; ;) {
          seen.add(url.href);
          const keyed = more.idempotencyKey !== undefined;
          const call: Call = { key, method, url, base: origins.base, keyed, page };
          const own = origins.trusted(url) ? { ...declaredHeaders, ...lowerCase(more.headers) } : {};
          const received = await wire.ask(
            call,
            outgoing(call, own, more),
            { signal, bytesMax: more.bytesMax ?? BYTES_MAX },
            pins,
          );
          const { status, headers } = received;
          if (succeeded(status)) {
            const wanted = { accept: more.accept, bytesMax: more.bytesMax ?? BYTES_MAX, whole: more.whole };
            const fault = faultOf(call, status);
            const answered = await answerOf(url, received, wanted, { signal, fault }).catch((error: unknown) => {
              throw named(error, call, 'answering', signal);
            });
            if (declared.good && received.framing !== 'none') refuseBad(declared.good, answered, fault);
            return answered;
          }
          if (status < 300 || status > 399) throw refusal(call, status, headers);
          url = leadsTo(call, received, seen, origins);
        }
      }, more),
    );

  return {
    key,
    get: async (path, more = {}) =>
      operate('GET', origins.at(path, more.query), { accept: 'json', ...more }, { pins: new Map() }),
    send: async (method, path, more = {}) =>
      operate(method.toUpperCase(), origins.at(path, more.query), more, { pins: new Map() }),
    pages(first, next, more = {}) {
      const pins: Pins = new Map();
      const get = (url: URL, page: number): Promise<HttpAnswer> =>
        operate('GET', url, { accept: 'json', ...more }, { pins, page });
      return pagesOf(key, origins.at(first, more.query), {
        get,
        next,
        follow: (link, from, page) => origins.follow(link, from, page),
        rules: more,
      });
    },
    connections: () => wire.open(),
    close: async () => wire.close(),
  };
}

/** What a call is part of: all pages of one read go to the addresses that its first page went to. */
interface Read {
  readonly pins: Pins;
  readonly page?: number;
}

interface Wire {
  /** One request to one URL and what came back. Throws coded errors, or the reason of the abort. */
  ask(
    call: Call,
    asked: Asked,
    limits: { readonly signal: AbortSignal; readonly bytesMax: number },
    pins: Pins,
  ): Promise<Received>;
  open(): number;
  close(): void;
}

function wireOf({ lookup, ca }: OpenHttpOptions): Wire {
  const resolve = resolver(lookup);
  const sockets = connections(ca === undefined ? {} : { ca });
  return {
    async ask(call, asked, limits, pins) {
      const { origin, hostname } = call.url;
      let phase: Phase = 'resolving';
      let connection: Connection | undefined;
      try {
        connection = asked.fresh ? undefined : sockets.idle(origin, pins);
        if (!connection) {
          const addresses = await resolve(pins.get(origin) ?? hostname, limits.signal);
          phase = 'connecting';
          connection = sockets.dial(call.url, addresses);
        }
        const received = await exchange(connection, asked, {
          ...limits,
          faultOf: (status) => faultOf(call, status),
          reached: (now) => void (phase = now),
        });
        pins.set(origin, connection.address()!);
        return received;
      } catch (error) {
        throw named(error, call, phase, limits.signal);
      } finally {
        if (connection) sockets.giveBack(connection);
      }
    },
    open: () => sockets.open(),
    close: () => sockets.close(),
  };
}

/** Where a redirect leads. Throws `redirect_refused` and `left_origin`. */
function leadsTo(call: Call, { status, headers }: Received, seen: ReadonlySet<string>, origins: Origins): URL {
  const refuse = (why: string): CodedError =>
    faultOf(call, status)('redirect_refused', `${why}; correct the address or the path`);
  const { location } = headers;
  if (call.method !== 'GET' && call.method !== 'HEAD') throw refuse('which is followed for GET and HEAD only');
  if (!followed.includes(status) || typeof location !== 'string') throw refuse('without saying where to go');
  const url = origins.follow(location, call.url, call.page);
  if (seen.has(url.href)) throw refuse('leading in a circle');
  if (seen.size > REDIRECTS_MAX) throw refuse(`after ${REDIRECTS_MAX} redirects before it`);
  return url;
}

/** The declared headers with the values their secrets have now. Throws `secret_missing`, and `config_invalid` for what no header can carry. */
function credentialsOf(
  key: string,
  declared: Upstream,
  readSecret: (secret: Secret) => string,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, given] of Object.entries(declared.headers ?? {})) {
    const value = typeof given === 'string' ? given : readSecret(given);
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new CodedError(
        'config_invalid',
        `The header ${name} of ${key} holds characters that no header can carry, such as a line break. Nothing was sent.`,
        { upstream: key },
      );
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

const accepts: Readonly<Record<Accept, string>> = {
  json: 'application/json, application/*+json;q=0.9, */*;q=0.1',
  text: 'text/*, */*;q=0.5',
  bytes: '*/*',
};

const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

function outgoing(call: Call, own: Readonly<Record<string, string>>, more: SendOptions): Asked {
  const { body } = more;
  const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  return {
    method: call.method,
    url: call.url,
    body: raw ? body : writeJson(body, { forOthers: true }),
    fresh: !repeatable.has(call.method) && more.idempotencyKey === undefined,
    headers: {
      accept: accepts[more.accept ?? 'bytes'],
      'accept-encoding': 'gzip',
      'user-agent': 'mendflow',
      ...(raw ? {} : { 'content-type': 'application/json' }),
      ...(more.idempotencyKey === undefined ? {} : { 'idempotency-key': more.idempotencyKey }),
      ...own,
    },
  };
}

const lowerCase = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
