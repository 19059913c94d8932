// What is promised here: every way in which an upstream can fail ends with the code of its table row, on real sockets: never as a success, never unnamed.
import { afterAll, describe, expect, it } from 'vitest';
import { type HttpOptions, openHttp } from '../../../src/connectors/http/index.ts';
import { CodedError, type Failure, codes } from '../../../src/model/failure.ts';
import { certificate } from '../../support/certificate.ts';
import { hang, json, plainUpstream, type Script, startScripts } from '../../support/http.ts';
import { cases } from './fault-cases.ts';

const servers: { close(): Promise<void> }[] = [];
afterAll(async () => void (await Promise.all(servers.map((one) => one.close()))));

async function call(
  script: Script,
  options?: HttpOptions,
): Promise<{ failed?: Failure; ms: number; leftOpen: () => number }> {
  const server = await startScripts(() => script);
  const http = openHttp(plainUpstream('http:x', { address: server.address, timeout: '2 seconds' }), {
    readSecret: () => '',
  });
  servers.push(server, http);
  const from = performance.now();
  const leftOpen = (): number => http.connections();
  try {
    await http.get('/path?key=private', options);
    return { ms: performance.now() - from, leftOpen };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { failed: error.failure, ms: performance.now() - from, leftOpen };
  }
}

describe('an upstream', () => {
  it.each(cases)('$u $what ends as $ends', async ({ script, ends, options, delayMs }) => {
    const { failed, ms } = await call(script, options);
    expect(failed?.code ?? 'ok').toBe(ends);
    expect(ms).toBeLessThan(30_000);
    if (!failed || ends === 'ok') return;
    expect(failed).toMatchObject({ class: codes[ends].class, fault: codes[ends].fault, upstream: 'http:x' });
    expect(failed.text).not.toMatch(/private|told/);
    if (delayMs === 'none') expect(failed.nextDelayMs ?? 0).toBe(0);
    else if (delayMs !== undefined) expect(failed.nextDelayMs).toBe(delayMs);
  });

  it('U5 that refuses the connection was certainly not called', async () => {
    const server = await startScripts(() => [hang]);
    await server.close();
    const http = openHttp(plainUpstream('http:x', { address: server.address }), { readSecret: () => '' });
    const failed = await http.get('/').catch((error: unknown) => (error as CodedError).failure);
    expect(failed).toMatchObject({ code: 'net_refused', commit: 'no' });
  });

  const day = 86_400_000;
  it.each([
    [
      'expired',
      certificate(['localhost'], { from: new Date(Date.now() - 9 * day), to: new Date(Date.now() - day) }),
      true,
      'tls_invalid',
    ],
    [
      'not valid yet',
      certificate(['localhost'], { from: new Date(Date.now() + day), to: new Date(Date.now() + 9 * day) }),
      true,
      'tls_invalid',
    ],
    ['for another host', certificate(['elsewhere.example']), true, 'tls_invalid'],
    ['signed by nobody we trust', certificate(['localhost']), false, 'tls_invalid'],
    ['sound', certificate(['localhost']), true, 'ok'],
  ] as const)('U23 whose certificate is %s ends the call', async (_what, made, trusted, ends) => {
    const server = await startScripts(() => [json({ a: 1 })], {
      // HTTP/2 is offered here and not taken: there is no GOAWAY where only HTTP/1.1 is spoken.
      tls: { ...made, ALPNProtocols: ['h2', 'http/1.1'] },
    });
    const http = openHttp(plainUpstream('http:x', { address: `https://localhost:${server.port}` }), {
      readSecret: () => '',
      ca: trusted ? [made.cert] : [certificate(['other']).cert],
    });
    servers.push(server, http);
    const ended = await http.get('/').then(
      () => 'ok',
      (error: unknown) => (error as CodedError).failure.code,
    );
    expect(ended).toBe(ends);
    expect(server.arrived.length).toBe(ends === 'ok' ? 1 : 0);
  });
});
