// What lives here: the ways in which an upstream can fail, as bytes, with the code that each has to end with.
// Invariant: a row of the fault matrix has at least one case here, or stands in a test of its own (U5, U19, U21, U23, U25); U26 is the pipeline's.
// Apart because it is a table: who adds a fault adds a line.
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { HttpOptions } from '../../../src/connectors/http/index.ts';
import type { Code } from '../../../src/model/failure.ts';
import { answer, end, hang, json, reset, type Script } from '../../support/http.ts';

export interface Case {
  /** Row of the fault matrix. */
  readonly u: string;
  readonly what: string;
  readonly script: Script;
  /** `ok`: a success here; who has to notice it instead is said in `what`. */
  readonly ends: Code | 'ok';
  readonly options?: HttpOptions;
  readonly delayMs?: number | 'none';
}

const head = (...lines: readonly string[]): string =>
  `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
const status = (line: string, ...headers: readonly string[]): Script => [
  answer('{"secret":"told"}', { status: line, headers }),
];
const text: HttpOptions = { accept: 'text' };
const whole = '{"a":1,"b":[1,2,3]}';
const packed = gzipSync(whole);
const gzipped = (bytes: Uint8Array, ...headers: readonly string[]): Script => [
  answer(bytes, { headers: ['Content-Encoding: gzip', ...headers] }),
];
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024 + 1));

export const cases: readonly Case[] = [
  { u: 'U1', what: '500', script: status('500 Broken'), ends: 'http_500' },
  { u: 'U1', what: '502', script: status('502 Bad Gateway'), ends: 'http_502' },
  { u: 'U1', what: '503', script: status('503 Away'), ends: 'http_503', delayMs: 'none' },
  { u: 'U1', what: '504', script: status('504 Late'), ends: 'http_504' },
  {
    u: 'U1',
    what: '500 whose body hangs',
    script: ['HTTP/1.1 500 Broken\r\nContent-Length: 9\r\n\r\n', hang],
    ends: 'http_500',
  },
  {
    u: 'U1',
    what: '503 with a time',
    script: status('503 Away', 'Retry-After: 7'),
    ends: 'http_503_retry_after',
    delayMs: 7_000,
  },
  { u: 'U2', what: '501', script: status('501 No'), ends: 'http_501' },
  { u: 'U3', what: '400', script: status('400 Bad'), ends: 'http_400' },
  { u: 'U3', what: '401', script: status('401 Who'), ends: 'http_401' },
  { u: 'U3', what: '403', script: status('403 No'), ends: 'http_403' },
  {
    u: 'U3',
    what: '403 that means too many calls',
    script: status('403 No', 'X-RateLimit-Remaining: 0'),
    ends: 'http_429',
  },
  { u: 'U3', what: '404', script: status('404 No'), ends: 'http_404' },
  { u: 'U3', what: '409', script: status('409 No'), ends: 'http_409' },
  { u: 'U3', what: '410', script: status('410 Gone'), ends: 'http_410' },
  { u: 'U3', what: '422', script: status('422 No'), ends: 'http_400' },
  { u: 'U4', what: '429 without a time', script: status('429 Slow'), ends: 'http_429', delayMs: 'none' },
  { u: 'U4', what: '429 with 3 s', script: status('429 Slow', 'Retry-After: 3'), ends: 'http_429', delayMs: 3_000 },
  { u: 'U4', what: '429 with 0 s', script: status('429 Slow', 'Retry-After: 0'), ends: 'http_429', delayMs: 'none' },
  {
    u: 'U4',
    what: '429 with a negative time',
    script: status('429 Slow', 'Retry-After: -5'),
    ends: 'http_429',
    delayMs: 'none',
  },
  { u: 'U4', what: '429 with a list', script: status('429 Slow', 'Retry-After: 12, 30'), ends: 'http_429' },
  { u: 'U4', what: '429 with hex', script: status('429 Slow', 'Retry-After: 0x10'), ends: 'http_429', delayMs: 'none' },
  {
    u: 'U4',
    what: '429 with nothing in it',
    script: status('429 Slow', 'Retry-After: '),
    ends: 'http_429',
    delayMs: 'none',
  },
  {
    u: 'U4',
    what: '429 with a date gone by',
    script: status('429 Slow', 'Retry-After: Wed, 21 Oct 2015 07:28:00 GMT'),
    ends: 'http_429',
    delayMs: 'none',
  },
  {
    u: 'U4',
    what: '429 with the year 2999',
    script: status('429 Slow', 'Retry-After: Tue, 01 Jan 2999 00:00:00 GMT'),
    ends: 'http_429',
  },
  { u: 'U4', what: '429 with 1e9 s', script: status('429 Slow', 'Retry-After: 1000000000'), ends: 'http_429' },
  { u: 'U6', what: 'reset instead of an answer', script: [reset], ends: 'net_reset' },
  { u: 'U6', what: 'end instead of an answer', script: [end], ends: 'net_reset' },
  {
    u: 'U6',
    what: 'end in the middle of the headers',
    script: ['HTTP/1.1 200 OK\r\nContent-Le', end],
    ends: 'net_reset',
  },
  { u: 'U7', what: 'silence after accept', script: [hang], ends: 'net_timeout' },
  { u: 'U8', what: 'silence after the headers', script: [head('Content-Length: 7'), hang], ends: 'net_timeout' },
  {
    u: 'U9',
    what: 'one byte every 500 ms',
    script: [head('Content-Length: 99'), { drip: Buffer.alloc(99, 32), everyMs: 500 }],
    ends: 'net_timeout',
  },
  {
    u: 'U9',
    what: 'headers byte by byte',
    script: [{ drip: Buffer.from(head('Content-Length: 7')), everyMs: 100 }, hang],
    ends: 'net_timeout',
  },
  {
    u: 'U10',
    what: 'cut before its length',
    script: [head('Content-Length: 19'), whole.slice(0, -1), end],
    ends: 'answer_cut',
  },
  {
    u: 'U10',
    what: 'reset before its length',
    script: [head('Content-Length: 19'), whole.slice(0, -1), { waitMs: 50 }, reset],
    ends: 'answer_cut',
  },
  {
    u: 'U10',
    what: 'cut before its length, on a connection that would have ended',
    script: [head('Connection: close', 'Content-Length: 19'), whole.slice(0, -1), end],
    ends: 'answer_cut',
  },
  {
    u: 'U11',
    what: 'cut between two chunks',
    script: [head('Transfer-Encoding: chunked'), '13\r\n', whole, '\r\n', end],
    ends: 'answer_cut',
  },
  {
    u: 'U11',
    what: 'cut before the last chunk, on a connection that would have ended',
    script: [head('Connection: close', 'Transfer-Encoding: chunked'), '13\r\n', whole, '\r\n', end],
    ends: 'answer_cut',
  },
  {
    u: 'U12',
    what: 'JSON cut where only the connection says where it ends',
    script: [head(), whole.slice(0, -1), end],
    ends: 'answer_cut',
  },
  {
    u: 'U12',
    what: 'the same by a reset',
    script: [head(), whole.slice(0, -1), { waitMs: 50 }, reset],
    ends: 'answer_cut',
  },
  { u: 'U12', what: 'a number, which may have been longer', script: [head(), '12', end], ends: 'answer_cut' },
  {
    u: 'U12',
    what: 'text whose end nothing proves',
    script: [head(), 'a,b\n1,2\n', end],
    ends: 'answer_cut',
    options: text,
  },
  {
    u: 'U12',
    what: 'nothing at all where text was asked for',
    script: [head(), end],
    ends: 'answer_cut',
    options: text,
  },
  {
    u: 'U12',
    what: 'text that its own proof finds short',
    script: [answer('<a><b>')],
    ends: 'answer_cut',
    options: { ...text, whole: (bytes) => bytes.toString().endsWith('</a>') },
  },
  {
    u: 'U12',
    what: 'a part that was not asked for',
    script: [answer('[1]', { status: '206 Part', headers: ['Content-Range: bytes 0-2/99'] })],
    ends: 'answer_cut',
  },
  { u: 'U13', what: 'HTTP/1.0, cut', script: ['HTTP/1.0 200 OK\r\n\r\n', whole.slice(0, -1), end], ends: 'answer_cut' },
  {
    u: 'U13',
    what: 'HTTP/1.0 text, cut',
    script: ['HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\nhalf', end],
    ends: 'answer_cut',
    options: text,
  },
  { u: 'U14', what: 'gzip without its end', script: gzipped(packed.subarray(0, -1)), ends: 'answer_cut' },
  { u: 'U14', what: 'gzip cut in the middle', script: gzipped(packed.subarray(0, 15)), ends: 'answer_cut' },
  {
    u: 'U14',
    what: 'brotli without its end',
    script: [answer(brotliCompressSync(whole).subarray(0, -1), { headers: ['Content-Encoding: br'] })],
    ends: 'answer_cut',
  },
  {
    u: 'U14',
    what: 'gzip with a damaged byte',
    script: gzipped(Buffer.concat([packed.subarray(0, -6), Buffer.of(packed.at(-6)! ^ 1), packed.subarray(-5)])),
    ends: 'answer_unreadable',
  },
  { u: 'U14', what: 'gzip that is none', script: gzipped(Buffer.from(whole)), ends: 'answer_unreadable' },
  {
    u: 'U14',
    what: 'an encoding nobody asked for',
    script: [answer(whole, { headers: ['Content-Encoding: zstd'] })],
    ends: 'answer_unreadable',
  },
  {
    u: 'U14',
    what: 'one encoding in another',
    script: [answer(gzipSync(packed), { headers: ['Content-Encoding: gzip, gzip'] })],
    ends: 'answer_unreadable',
  },
  {
    u: 'U15',
    what: 'a length too small, with JSON that happens to end there',
    script: [head('Content-Length: 19'), `${whole} `],
    ends: 'answer_cut',
  },
  {
    u: 'U15',
    what: 'a length too small for text',
    script: [head('Content-Length: 4') + 'four and more'],
    ends: 'answer_cut',
    options: text,
  },
  {
    u: 'U15',
    what: 'the same on a connection that ends',
    script: [head('Connection: close', 'Content-Length: 4') + 'four and more', end],
    ends: 'answer_cut',
    options: text,
  },
  {
    u: 'U15',
    what: 'the same by HTTP/1.0',
    script: ['HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfour and more', end],
    ends: 'answer_cut',
    options: text,
  },
  {
    u: 'U15',
    what: 'a second answer behind the first',
    script: [Buffer.concat([json({ a: 1 }), json({ a: 2 })])],
    ends: 'answer_cut',
  },
  { u: 'U15', what: 'a length that is none', script: [head('Content-Length: many'), whole], ends: 'answer_unreadable' },
  { u: 'U15', what: 'a negative length', script: [head('Content-Length: -1'), whole], ends: 'answer_unreadable' },
  {
    u: 'U15',
    what: 'a chunk size that is none',
    script: [head('Transfer-Encoding: chunked'), 'zz\r\n', whole, '\r\n0\r\n\r\n'],
    ends: 'answer_unreadable',
  },
  {
    u: 'U15',
    what: 'a transfer coding nobody asked for',
    script: [head('Transfer-Encoding: gzip'), whole, end],
    ends: 'answer_unreadable',
  },
  {
    u: 'U16',
    what: 'two lengths',
    script: [head('Content-Length: 19', 'Content-Length: 18'), whole],
    ends: 'answer_unreadable',
  },
  {
    u: 'U16',
    what: 'a length and chunks',
    script: [head('Content-Length: 19', 'Transfer-Encoding: chunked'), '13\r\n', whole, '\r\n0\r\n\r\n'],
    ends: 'answer_unreadable',
  },
  { u: 'U17', what: 'a status line of garbage', script: ['garbage\r\n\r\n'], ends: 'answer_unreadable' },
  { u: 'U17', what: 'a status that is no number', script: ['HTTP/1.1 abc OK\r\n\r\n'], ends: 'answer_unreadable' },
  {
    u: 'U18',
    what: 'a header of 500 KB',
    script: [head(`X-Big: ${'a'.repeat(500_000)}`, 'Content-Length: 0')],
    ends: 'answer_too_large',
  },
  {
    u: 'U20',
    what: '200 with an error page',
    script: [answer('<html>We are sorry</html>', { headers: ['Content-Type: text/html'] })],
    ends: 'answer_unreadable',
  },
  { u: 'U20', what: '200 with nothing', script: [answer('')], ends: 'answer_unreadable' },
  {
    u: 'U20',
    what: '200 with JSON that stops, by a length that fits',
    script: [answer(whole.slice(0, -1))],
    ends: 'answer_unreadable',
  },
  {
    u: 'U20',
    what: 'JSON that is no UTF-8',
    script: [answer(Buffer.from([0x22, 0xff, 0xfe, 0x22]))],
    ends: 'answer_unreadable',
  },
  {
    u: 'U20',
    what: 'text in another character set than it names',
    script: [answer(Buffer.from([0xc3, 0x28]), { headers: ['Content-Type: text/plain; charset=utf-8'] })],
    ends: 'answer_unreadable',
    options: text,
  },
  {
    u: 'U20',
    what: 'text in a character set nobody knows',
    script: [answer('a', { headers: ['Content-Type: text/plain; charset=klingon'] })],
    ends: 'answer_unreadable',
    options: text,
  },
  { u: 'U20', what: '200 with [] (the volume guard of the pipeline)', script: [json([])], ends: 'ok' },
  { u: 'U22', what: 'another shape (the schema of the pipeline)', script: [json({ other: true })], ends: 'ok' },
  {
    u: 'U23',
    what: 'HTTP/2 where HTTP/1.1 was spoken: settings and GOAWAY',
    script: [Buffer.from('0000000400000000000000080700000000000000000000000000', 'hex')],
    ends: 'answer_unreadable',
  },
  { u: 'U24', what: 'gzip of 64 KB that unpacks to 64 MB', script: gzipped(bomb), ends: 'answer_too_large' },
  {
    u: 'U24',
    what: 'brotli that unpacks a thousandfold',
    script: [answer(brotliCompressSync(Buffer.alloc(8 * 1024 * 1024)), { headers: ['Content-Encoding: br'] })],
    ends: 'answer_too_large',
  },
  {
    u: 'U24',
    what: 'more than the limit, by its length',
    script: [head('Content-Length: 99999999999')],
    ends: 'answer_too_large',
  },
  {
    u: 'U24',
    what: 'more than the limit, once it is unpacked',
    script: gzipped(gzipSync(JSON.stringify('ten bytes '.repeat(500)))),
    ends: 'answer_too_large',
    options: { bytesMax: 3_000 },
  },
  {
    u: 'U24',
    what: 'more than the limit, in chunks',
    script: [
      head('Transfer-Encoding: chunked'),
      ...Array.from({ length: 20 }, () => `64\r\n${' '.repeat(100)}\r\n`),
      hang,
    ],
    ends: 'answer_too_large',
    options: { bytesMax: 1_000 },
  },
  { u: '–', what: 'a sound answer by length', script: [answer(whole)], ends: 'ok' },
  {
    u: '–',
    what: 'a sound answer in chunks',
    script: [head('Transfer-Encoding: chunked'), '13\r\n', whole, '\r\n0\r\n\r\n'],
    ends: 'ok',
  },
  { u: '–', what: 'JSON that closes before the connection does', script: [head(), whole, end], ends: 'ok' },
  {
    u: '–',
    what: 'packed text that ends before the connection does',
    script: [head('Content-Encoding: gzip'), packed, end],
    ends: 'ok',
    options: text,
  },
  { u: '–', what: 'gzip', script: gzipped(packed), ends: 'ok' },
  {
    u: '–',
    what: 'brotli',
    script: [answer(brotliCompressSync(whole), { headers: ['Content-Encoding: br'] })],
    ends: 'ok',
  },
  { u: '–', what: '204', script: ['HTTP/1.1 204 Nothing\r\n\r\n'], ends: 'ok' },
  { u: '–', what: '304', script: ['HTTP/1.1 304 As before\r\nETag: "1"\r\n\r\n'], ends: 'ok' },
  { u: '–', what: 'hints before the answer', script: ['HTTP/1.1 103 Hints\r\n\r\n', json({ a: 1 })], ends: 'ok' },
];
