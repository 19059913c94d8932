// What is promised here: after a thousand failures of every kind an HTTP client holds nothing, is as fast as before, and took none for a success.
import { afterAll, expect, it } from 'vitest';
import { gzipSync } from 'node:zlib';
import { openHttp } from '../../src/connectors/http/index.ts';
import { CodedError } from '../../src/model/failure.ts';
import { certificate } from '../support/certificate.ts';
import { answer, end, hang, json, plainUpstream, reset, type Script, startScripts } from '../support/http.ts';

const packed = gzipSync('{"a":1}');
const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024));
const faults: readonly Script[] = [
  [reset],
  [end],
  [hang],
  ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1', hang],
  ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1', end],
  ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1', { waitMs: 5 }, reset],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1', end],
  ['HTTP/1.1 200 OK\r\n\r\n[1', end],
  ['HTTP/1.1 200 OK\r\n\r\n', { drip: Buffer.alloc(50, 32), everyMs: 20 }],
  [answer(packed.subarray(0, -4), { headers: ['Content-Encoding: gzip'] })],
  [answer(bomb, { headers: ['Content-Encoding: gzip'] })],
  ['garbage\r\n\r\n'],
  [answer('no', { status: '500 Broken' })],
  ['HTTP/1.1 503 Away\r\nContent-Length: 9\r\n\r\n1', hang],
  [answer('', { status: '302 There', headers: ['Location: ?again'] })],
  [answer('<html>')],
];

const toClose: { close(): Promise<void> }[] = [];
afterAll(async () => {
  for (const one of toClose) await one.close();
});
const sockets = (): number => process.getActiveResourcesInfo().filter((one) => /^(TCP|TLS)/.test(one)).length;

it.each(['http', 'https'])(
  '1,000 failed calls over %s leave no socket, no listener and no memory behind',
  async (scheme) => {
    const tls = certificate(['localhost']);
    const broken = await startScripts(
      ({ path }) => faults[Number.parseInt(path.slice(1), 10) % faults.length]!,
      scheme === 'https' ? { tls } : {},
    );
    const sound = await startScripts(() => [json({ ok: true })]);
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warn);
    const http = openHttp(
      plainUpstream('http:broken', {
        address: `${scheme}://localhost:${broken.port}`,
        timeout: '800 milliseconds',
        concurrency: 20,
      }),
      {
        readSecret: () => '',
        ca: [tls.cert],
      },
    );
    const healthy = openHttp(plainUpstream('http:sound', { address: sound.address }), { readSecret: () => '' });
    toClose.push(http, healthy, broken, sound);

    const codes = new Map<string, number>();
    const stop = new AbortController();
    const call = async (nth: number): Promise<void> => {
      try {
        await http.get(`/${nth}`, { signal: stop.signal });
        throw new Error(`Call ${nth} was taken for a success.`);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        codes.set(error.failure.code, (codes.get(error.failure.code) ?? 0) + 1);
      }
    };
    const work = async (from: number, count: number): Promise<void> =>
      void (await Promise.all(Array.from({ length: count }, async (_, i) => call(from + i))));
    await work(0, 200);
    globalThis.gc?.();
    const before = { sockets: sockets(), heap: process.memoryUsage().heapUsed, rss: process.memoryUsage().rss };
    let neighbourMs = 0;
    const neighbour = (async () => {
      for (let nth = 0; nth < 100; nth++) {
        const from = performance.now();
        await healthy.get('/');
        neighbourMs = Math.max(neighbourMs, performance.now() - from);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    await work(200, 1_000);
    await neighbour;

    expect([...codes.values()].reduce((a, b) => a + b)).toBe(1_200);
    for (const code of [
      'net_reset',
      'net_timeout',
      'answer_cut',
      'answer_unreadable',
      'answer_too_large',
      'http_500',
      'http_503',
      'redirect_refused',
    ])
      expect([...codes.keys()], code).toContain(code);
    expect(codes.has('unknown') || codes.has('code_bug') || codes.has('cancelled')).toBe(false);
    await http.close();
    expect(http.connections()).toBe(0);
    await expect.poll(() => broken.sockets(), { timeout: 10_000 }).toBe(0);
    await expect.poll(sockets, { timeout: 10_000 }).toBeLessThanOrEqual(before.sockets);
    expect(warnings.filter((text) => /leak/i.test(text))).toEqual([]);
    expect(neighbourMs, 'a healthy neighbour').toBeLessThan(5_000);
    process.off('warning', warn);
    console.log(
      `${scheme}: ${[...codes].map(([code, count]) => `${code} ${count}`).join(', ')}; accepted ${broken.accepted()}; ` +
        `rss ${Math.round(before.rss / 1e6)} → ${Math.round(process.memoryUsage().rss / 1e6)} MB; slowest call of the neighbour ${Math.round(neighbourMs)} ms`,
    );
  },
);
