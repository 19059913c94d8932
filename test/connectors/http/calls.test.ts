// What is promised here: a call sends what was asked, once, waits no longer than declared, and leaves no socket behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { type OpenHttp, openHttp, type OpenHttpOptions } from '../../../src/connectors/http/index.ts';
import { CodedError, type Failure } from '../../../src/model/failure.ts';
import { secret, type Upstream } from '../../../src/model/upstream.ts';
import {
  answer,
  end,
  hang,
  json,
  plainUpstream,
  type Script,
  startScripts,
  type Arrived,
  type ScriptServer,
} from '../../support/http.ts';

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

async function serve(play: (request: Arrived, nth: number) => Script): Promise<ScriptServer> {
  const server = await startScripts(play);
  toClose.push(server);
  return server;
}

function client(declared: Upstream, options: Partial<OpenHttpOptions> = {}): OpenHttp {
  const http = openHttp(plainUpstream('http:x', declared), { readSecret: () => '', ...options });
  toClose.unshift(http);
  return http;
}

const failureOf = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof CodedError ? error.failure : error),
  );

describe('a call', () => {
  it('sends path, query, headers, body and key as asked', async () => {
    const server = await serve(() => [json({ ok: true })]);
    const http = client(
      {
        address: `${server.address}/v1/`,
        headers: { 'X-Kind': 'fixed', Authorization: secret('TOKEN', { before: 'Bearer ' }) },
      },
      { readSecret: ({ before }) => `${before}abc` },
    );
    await http.get('/items', { query: { day: '2026-11-21', limit: 5 } });
    await http.get('items?a=1#part', { headers: { 'X-Kind': 'own' } });
    await http.get('');
    await http.send('post', '/items', { body: { a: 'ü' }, idempotencyKey: 'run/1' });
    await http.send('PUT', '/items/1', { body: 'text', headers: { 'Content-Type': 'text/plain' } });
    expect(server.arrived.map(({ method, path, body }) => `${method} ${path} ${body}`)).toEqual([
      'GET /v1/items?day=2026-11-21&limit=5 ',
      'GET /v1/items?a=1 ',
      'GET /v1/ ',
      'POST /v1/items {"a":"ü"}',
      'PUT /v1/items/1 text',
    ]);
    const [first, second, , post, put] = server.arrived.map(({ headers }) => headers);
    expect(first).toMatchObject({
      authorization: 'Bearer abc',
      'x-kind': 'fixed',
      'accept-encoding': 'gzip',
      host: new URL(server.address).host,
    });
    expect(second).toMatchObject({ 'x-kind': 'own' });
    expect(post).toMatchObject({ 'content-type': 'application/json', 'idempotency-key': 'run/1' });
    expect(put).toMatchObject({ 'content-type': 'text/plain' });
  });

  it('gives content as bytes, text and JSON', async () => {
    const server = await serve((_, nth) => [
      nth === 0
        ? json({ a: 1 })
        : answer(Buffer.from([0xe9]), { headers: ['Content-Type: text/plain; charset=latin1'] }),
    ]);
    const http = client({ address: server.address });
    const first = await http.get('/a');
    expect([first.status, first.json(), first.text(), first.bytes.length, first.url]).toEqual([
      200,
      { a: 1 },
      '{"a":1}',
      7,
      `${server.address}/a`,
    ]);
    expect((await http.get('/b', { accept: 'text' })).text()).toBe('é');
  });

  it('is sent once, whatever becomes of it', async () => {
    for (const script of [[hang], [end], [answer('', { status: '503 Away' })], [answer('<')]] satisfies Script[]) {
      const server = await serve(() => script);
      await failureOf(client({ address: server.address, timeout: '500 milliseconds' }).get('/'));
      await failureOf(client({ address: server.address, timeout: '500 milliseconds' }).send('POST', '/', { body: {} }));
      expect(server.arrived.length).toBe(2);
    }
  });

  it('uses a connection again, makes it anew where it closed meanwhile, and never takes an old one for what may not be repeated', async () => {
    const server = await serve((_, nth) => (nth === 3 ? [json({}), end] : [json({})]));
    const http = client({ address: server.address });
    for (let nth = 0; nth < 20; nth++) await http.get(`/${nth}`);
    expect(server.accepted()).toBe(2);
    await http.send('POST', '/', { body: {} });
    expect(server.accepted()).toBe(3);
    expect(http.connections()).toBe(server.sockets());
  });

  it('that is still under way on the other side is told apart from a conflict, by its key', async () => {
    const server = await serve(() => [answer('', { status: '409 Conflict' })]);
    const http = client({ address: server.address });
    expect(await failureOf(http.send('POST', '/', { body: {} }))).toMatchObject({ code: 'http_409' });
    expect(await failureOf(http.send('POST', '/', { body: {}, idempotencyKey: 'run/1' }))).toMatchObject({
      code: 'http_409_in_progress',
      class: 'transient',
    });
  });

  it('reads secrets anew each time, and says which is missing before anything is sent', async () => {
    const server = await serve(() => [json({})]);
    let token = 'one';
    const http = client({ address: server.address, headers: { 'X-Key': secret('KEY') } }, { readSecret: () => token });
    await http.get('/');
    token = 'two';
    await http.get('/');
    token = 'broken\r\nX-Other: 1';
    expect(await failureOf(http.get('/'))).toMatchObject({
      code: 'config_invalid',
      text: expect.not.stringContaining('broken'),
    });
    expect(server.arrived.map(({ headers }) => headers['x-key'])).toEqual(['one', 'two']);
  });

  it('is one of so many at once, and the others wait in line, in order', async () => {
    let now = 0;
    let most = 0;
    const server = await serve(() => {
      most = Math.max(most, ++now);
      setTimeout(() => now--, 20);
      return [{ waitMs: 25 }, json({})];
    });
    const http = client({ address: server.address, concurrency: 3 });
    const order: number[] = [];
    const stop = new AbortController();
    const calls = Array.from({ length: 12 }, async (_, nth) => http.get(`/${nth}`).then(() => order.push(nth)));
    const givenUp = Array.from({ length: 3 }, async () => failureOf(http.get('/given-up', { signal: stop.signal })));
    stop.abort(new Error('not needed any more'));
    await Promise.all(calls);
    for (const one of givenUp) expect(await one).toMatchObject({ message: 'not needed any more' });
    await http.get('/after');
    expect(most).toBeLessThanOrEqual(3);
    expect(server.arrived.length).toBe(13);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, nth) => nth));
  });
});

describe('the end of a call', () => {
  it('comes when its signal says so, with the reason given, and frees its socket', async () => {
    const server = await serve((_, nth) =>
      nth === 0 ? ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12', hang] : [json({ nth })],
    );
    const http = client({ address: server.address });
    const stop = new AbortController();
    const reason = new Error('worker is shutting down');
    const call = failureOf(http.get('/', { signal: stop.signal }));
    await expect.poll(() => server.arrived.length).toBe(1);
    stop.abort(reason);
    expect(await call).toBe(reason);
    expect(http.connections()).toBe(0);
    await expect.poll(() => server.sockets()).toBe(0);
    expect((await http.get('/')).json()).toEqual({ nth: 1 });
  });

  it('comes in time while connecting, and nothing was sent', async () => {
    const busy = await unaccepting();
    toClose.push(busy);
    const http = client({ address: `http://127.0.0.1:${busy.port}`, timeout: '700 milliseconds', concurrency: 20 });
    const before = process.getActiveResourcesInfo().filter((one) => one.startsWith('TCP')).length;
    const ended = await Promise.all(Array.from({ length: 12 }, async () => failureOf(http.get('/'))));
    // The first ones fill the queue of the listening socket: they are connected and never answered. The others never connect.
    expect(new Set(ended.map((one) => (one as Failure).code))).toEqual(new Set(['net_timeout']));
    const unsent = ended.filter((one) => (one as Failure).commit === 'no');
    expect(unsent.length).toBeGreaterThan(5);
    expect((unsent[0] as Failure).text).toContain('still connecting, so nothing was sent');
    expect(http.connections()).toBe(0);
    await expect
      .poll(() => process.getActiveResourcesInfo().filter((one) => one.startsWith('TCP')).length)
      .toBeLessThanOrEqual(before);
  });

  it('comes in time during a TLS handshake nobody answers', async () => {
    const server = await serve(() => [hang]);
    const http = client({ address: server.address.replace('http:', 'https:'), timeout: '500 milliseconds' });
    expect(await failureOf(http.get('/'))).toMatchObject({ code: 'net_timeout', commit: 'no' });
    await expect.poll(() => server.sockets()).toBe(0);
  });
});

describe('a name', () => {
  it.each([
    ['ENOTFOUND', 'dns_unknown'],
    ['EAI_AGAIN', 'dns_again'],
    ['EAI_FAIL', 'dns_failed'],
  ])('U25 that getaddrinfo answers with %s ends the call as %s, unsent', async (code, named) => {
    const lookup = async (): Promise<never> =>
      Promise.reject(Object.assign(new Error(code), { code, syscall: 'getaddrinfo' }));
    expect(await failureOf(client({ address: 'http://quakes.example' }, { lookup }).get('/'))).toMatchObject({
      code: named,
      commit: 'no',
    });
  });

  it('U25 that does not exist is known by the real getaddrinfo', async () => {
    const failed = (await failureOf(client({ address: 'http://no-such-host.invalid' }).get('/'))) as Failure;
    expect(['dns_unknown', 'dns_again', 'dns_failed']).toContain(failed.code);
  });

  it('U25 that hangs ends its own calls in time, holds one thread, and no other upstream waits for it', async () => {
    // Opening a pipe that nobody writes to holds a thread of the pool for good, as a dead name server holds getaddrinfo.
    const dir = await mkdtemp(join(tmpdir(), 'mendflow-http-'));
    const pipe = join(dir, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    let lookups = 0;
    const dead = client(
      { address: 'http://dead.example', timeout: '400 milliseconds', concurrency: 50 },
      { lookup: async () => (lookups++, (await open(pipe, 'r')).close().then(() => [])) },
    );
    const server = await serve(() => [json({ ok: true })]);
    const alive = client({ address: `http://localhost:${server.port}`, concurrency: 50 });
    const hung = Array.from({ length: 50 }, async () => failureOf(dead.get('/')));
    const times: number[] = [];
    for (let nth = 0; nth < 20; nth++) {
      const from = performance.now();
      await alive.send('POST', '/', { body: { nth } }); // Each on a connection of its own, so that each is resolved.
      times.push(performance.now() - from);
    }
    for (const one of await Promise.all(hung)) expect(one).toMatchObject({ code: 'net_timeout', commit: 'no' });
    for (const one of await Promise.all(Array.from({ length: 5 }, async () => failureOf(dead.get('/')))))
      expect(one).toMatchObject({ code: 'net_timeout' });
    expect(lookups).toBe(1);
    expect(Math.max(...times)).toBeLessThan(5_000);
    const writer = await open(pipe, 'w'); // Lets the thread go.
    await writer.close();
    await rm(dir, { recursive: true });
  });

  it('with several addresses is reached at the one that works', async () => {
    const server = await serve(() => [json({ ok: true })]);
    const http = client(
      { address: `http://quakes.example:${server.port}` },
      { lookup: async () => ['127.0.0.9', '127.0.0.1'].map((address) => ({ address, family: 4 })) },
    );
    expect((await http.get('/')).json()).toEqual({ ok: true });
    expect(server.arrived[0]!.headers['host']).toBe(`quakes.example:${server.port}`);
  });
});

/** A listening socket whose process never accepts: its queue of one is soon full, and then connecting hangs. */
async function unaccepting(): Promise<{ port: number; close(): Promise<void> }> {
  const program = `const s = require('net').createServer(); s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('fs').writeSync(1, String(s.address().port)); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000); });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    port: Number(port.toString()),
    close: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}
