// What lives here: failures of answers that came, and of certificates: status, length, compression, format, redirects, TLS.
// Invariant: loopback only; a server plays a script of bytes and cuts.
// Apart because here the connection held, and what came over it is wrong.
import { gunzipSync, gzipSync } from 'node:zlib';
import { Agent, interceptors } from 'undici';
import { certificate } from '../support/certificate.ts';
import type { Script } from '../support/http.ts';
import type { Provocation, Scene } from './provoke.ts';
import { rawServer, serverOf, type Tls, viaFetch, viaNode, viaTls, viaUndici } from './provoke-servers.ts';

const answer = (status: string, ...headers: string[]): Script => [
  `HTTP/1.1 ${status}\r\n${headers.map((one) => `${one}\r\n`).join('')}Content-Length: 2\r\n\r\nno`,
];
const throwing = new Agent().compose(interceptors.responseError());
const answers: readonly Provocation[] = [
  {
    what: 'undici: 503 thrown',
    code: 'http_503',
    raise: async (scene) => await viaUndici(await serverOf(scene, answer('503 Away')), { dispatcher: throwing }),
  },
  {
    what: 'undici: 503 with Retry-After thrown',
    code: 'http_503_retry_after',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, answer('503 Away', 'Retry-After: 7')), { dispatcher: throwing }),
  },
  {
    what: 'undici: 429 thrown',
    code: 'http_429',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, answer('429 Slow', 'Retry-After: 9')), { dispatcher: throwing }),
  },
  {
    what: 'undici: 403 that counts calls thrown',
    code: 'http_429',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, answer('403 No', 'X-RateLimit-Remaining: 0')), { dispatcher: throwing }),
  },
  ...(
    [
      [400, 'http_400'],
      [401, 'http_401'],
      [403, 'http_403'],
      [404, 'http_404'],
      [409, 'http_409'],
      [410, 'http_410'],
      [412, 'http_412'],
      [422, 'http_400'],
      [500, 'http_500'],
      [501, 'http_501'],
      [502, 'http_502'],
      [504, 'http_504'],
    ] as const
  ).map(([status, code]): Provocation => ({
    what: `undici: ${status} thrown`,
    code,
    raise: async (scene) => await viaUndici(await serverOf(scene, answer(`${status} Words`)), { dispatcher: throwing }),
  })),
  {
    what: 'undici: headers too large',
    code: 'answer_too_large',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`])),
  },
  {
    what: 'node:http: headers too large',
    code: 'answer_too_large',
    raise: async (scene) =>
      await viaNode(await serverOf(scene, [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`])),
  },
  {
    what: 'undici: body too large',
    code: 'answer_too_large',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, answer('200 OK')), { dispatcher: new Agent({ maxResponseSize: 1 }) }),
  },
  {
    what: 'undici: two lengths',
    code: 'answer_unreadable',
    raise: async (scene) => await viaUndici(await serverOf(scene, answer('200 OK', 'Content-Length: 9'))),
  },
  {
    what: 'fetch: gzip that is none',
    code: 'answer_unreadable',
    raise: async (scene) => await viaFetch(await serverOf(scene, answer('200 OK', 'Content-Encoding: gzip'))),
  },
  {
    what: 'node:zlib: gzip that ends early',
    code: 'answer_cut',
    raise: () => gunzipSync(gzipSync('x'.repeat(99)).subarray(0, 20)),
  },
  { what: 'node:zlib: gzip that is none', code: 'answer_unreadable', raise: () => gunzipSync('no gzip at all') },
  {
    what: 'JSON: a page of HTML',
    code: 'answer_unreadable',
    raise: async (scene) => await (await fetch(await serverOf(scene, answer('200 OK')))).json(),
  },
  { what: 'JSON: half of it', code: 'answer_cut', raise: () => JSON.parse('{"a":[1,') as unknown },
  { what: 'JSON: more than it', code: 'answer_unreadable', raise: () => JSON.parse('{"a":1}{"a":2}') as unknown },
  { what: 'JSON: a text without its end', code: 'answer_unreadable', raise: () => JSON.parse('{"a":"b') as unknown },
  {
    what: 'TextDecoder: bytes that are no text',
    code: 'answer_unreadable',
    raise: () => new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.of(0xff)),
  },
  {
    what: 'fetch: redirects for ever',
    code: 'redirect_refused',
    raise: async (scene) => await viaFetch(await serverOf(scene, answer('302 There', 'Location: /'))),
  },
  {
    what: 'fetch: a port that is never called',
    code: 'config_invalid',
    raise: async () => await viaFetch('http://127.0.0.1:1/'),
  },
  {
    what: 'fetch: a scheme that nobody knows',
    code: 'config_invalid',
    raise: async () => await viaFetch('gopher://127.0.0.1/'),
  },
  { what: 'URL: not one', code: 'code_bug', raise: () => new URL('not a url') },
  {
    what: 'undici: a method that is none',
    code: 'code_bug',
    raise: async () => await viaUndici('http://127.0.0.1:9/', { method: 'not a method' as never }),
  },
  {
    what: 'undici: body and length differ',
    code: 'code_bug',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, answer('200 OK')), {
        method: 'POST',
        body: 'abc',
        headers: { 'content-length': '9' },
      }),
  },
];

const withTls = async (scene: Scene, made: Tls, options: object = {}): Promise<unknown> =>
  await viaUndici((await serverOf(scene, answer('200 OK'), made)).replace('127.0.0.1', 'localhost'), {
    dispatcher: new Agent({ connect: { ca: made.cert, host: '127.0.0.1', ...options } as never }),
  });
const DAY_MS = 86_400_000;

const certificates: readonly Provocation[] = [
  {
    what: 'TLS: expired',
    code: 'tls_invalid',
    raise: async (scene) =>
      await withTls(
        scene,
        certificate(['localhost'], { from: new Date(Date.now() - 9 * DAY_MS), to: new Date(Date.now() - DAY_MS) }),
      ),
  },
  {
    what: 'TLS: not valid yet',
    code: 'tls_invalid',
    raise: async (scene) =>
      await withTls(
        scene,
        certificate(['localhost'], { from: new Date(Date.now() + DAY_MS), to: new Date(Date.now() + 9 * DAY_MS) }),
      ),
  },
  {
    what: 'TLS: for another host',
    code: 'tls_invalid',
    raise: async (scene) => await withTls(scene, certificate(['elsewhere.invalid'])),
  },
  {
    what: 'TLS: signed by nobody we know',
    code: 'tls_invalid',
    raise: async (scene) => await withTls(scene, certificate(['localhost']), { ca: certificate(['localhost']).cert }),
  },
  {
    what: 'fetch: TLS signed by nobody we know',
    code: 'tls_invalid',
    raise: async (scene) => await viaFetch(await serverOf(scene, answer('200 OK'), certificate(['localhost']))),
  },
  {
    what: 'TLS: the server speaks plain text',
    code: 'tls_failed',
    raise: async (scene) => await viaTls(await rawServer(scene, (socket) => void socket.write('220 hello\r\n')), {}),
  },
  {
    what: 'TLS: no version in common',
    code: 'tls_failed',
    raise: async (scene) => {
      const address = await serverOf(scene, answer('200 OK'), certificate(['localhost']));
      await viaTls(Number(new URL(address).port), { maxVersion: 'TLSv1', minVersion: 'TLSv1' });
    },
  },
  {
    what: 'TLS: closed before the handshake',
    code: 'net_reset',
    raise: async (scene) => await viaTls(await rawServer(scene, (socket) => socket.end()), {}),
  },
  {
    what: 'undici: closed before the handshake',
    code: 'net_reset',
    raise: async (scene) => await viaUndici(`https://127.0.0.1:${await rawServer(scene, (socket) => socket.end())}/`),
  },
];

export const answerFailures: readonly Provocation[] = [...answers, ...certificates];
