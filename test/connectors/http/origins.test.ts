// What is promised here: whatever an upstream answers, no call leaves the declared and listed origins, and no credential leaves the declared one.
import { afterEach, describe, expect, it } from 'vitest';
import { inspect } from 'node:util';
import { type OpenHttp, openHttp, type OpenHttpOptions } from '../../../src/connectors/http/index.ts';
import { originsOf } from '../../../src/connectors/http/origins.ts';
import { CodedError, type Failure } from '../../../src/model/failure.ts';
import { secret, type Upstream } from '../../../src/model/upstream.ts';
import {
  answer,
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

async function serve(
  play: (request: Arrived, nth: number) => Script,
  options: { host?: string; port?: number } = {},
): Promise<ScriptServer> {
  const server = await startScripts(play, options);
  toClose.push(server);
  return server;
}

const TOKEN = 'token-7f3a-very-private';
function client(declared: Upstream, options: Partial<OpenHttpOptions> = {}): OpenHttp {
  const http = openHttp(
    plainUpstream('http:x', { timeout: '3 seconds', headers: { 'X-Api-Key': secret('KEY') }, ...declared }),
    { readSecret: () => TOKEN, ...options },
  );
  toClose.unshift(http);
  return http;
}

const errorOf = async (call: Promise<unknown>): Promise<CodedError> =>
  call.then(
    () => {
      throw new Error('It was a success.');
    },
    (error: unknown) => {
      if (error instanceof CodedError) return error;
      throw error;
    },
  );
const failureOf = async (call: Promise<unknown>): Promise<Failure> => (await errorOf(call)).failure;
const redirect = (to: string, status = '302 There'): Script => [answer('', { status, headers: [`Location: ${to}`] })];

/** Where an upstream may try to lead its caller; none of these is on its origin, however it is written. */
const elsewhere = [
  'file:///etc/passwd',
  'blob:http://quakes.example/a',
  'ftp://127.0.0.1/',
  'gopher://127.0.0.1/',
  'data:text/plain,x',
  'javascript:alert(1)',
  'ws://127.0.0.1/',
  'unix:/run/docker.sock',
  'http://127.1/',
  'http://2130706433/',
  'http://0x7f000001/',
  'http://0177.0.0.1/',
  'http://①②⑦.⓪.⓪.①/',
  'http://[::ffff:7f00:1]/',
  'http://0/',
  'http://[::1]/',
  'http://localhost/',
  'http://169.254.169.254/latest/meta-data/',
  'http://[fd00:ec2::254]/',
  'http://10.0.0.1/',
  '//evil.example/',
  '\\\\evil.example\\',
  '/\\evil.example/',
  'https://quakes.example@evil.example/',
  'http://quakes.example.evil.example/',
  'https:evil.example',
  ' http://evil.example',
  'ht\ttp://evil.example',
  'HTTP://EVIL.EXAMPLE/',
  'http://quakes.example:81/',
  'https://quakes.example/',
  'http://',
  'http://[',
  'x'.repeat(9_000) + '://',
];

describe('a URL', () => {
  const origins = originsOf('http:x', {
    address: 'http://quakes.example/v1',
    origins: ['https://files.example:8443/'],
  });
  const from = new URL('http://quakes.example/v1/items');

  it.each(elsewhere)('%s is not followed', (link) => {
    expect(() => origins.follow(link, from)).toThrow(CodedError);
    try {
      origins.follow(link, from);
    } catch (error) {
      expect((error as CodedError).failure.code).toBe('left_origin');
    }
  });

  it.each([
    ['?page=2', 'http://quakes.example/v1/items?page=2'],
    ['/other', 'http://quakes.example/other'],
    ['next', 'http://quakes.example/v1/next'],
    ['//quakes.example/a', 'http://quakes.example/a'],
    ['http://user:pass@quakes.example:80/a#b', 'http://quakes.example/a'],
    ['https://FILES.example:8443/a', 'https://files.example:8443/a'],
    ['http://quakes。example/a', 'http://quakes.example/a'],
  ])('%s is followed as the standard reads it', (link, to) => expect(origins.follow(link, from).href).toBe(to));

  it.each([
    ['/items', 'http://quakes.example/v1/items'],
    ['items', 'http://quakes.example/v1/items'],
    ['?a=1', 'http://quakes.example/v1?a=1'],
    ['//evil.example/', 'http://quakes.example/v1//evil.example/'],
    ['/a b', 'http://quakes.example/v1/a%20b'],
    ['http://quakes.example/', 'http://quakes.example/'],
  ])('%s stands below the declared address', (path, to) => expect(origins.at(path).href).toBe(to));

  it('is refused where a declaration holds a credential or leads nowhere', () => {
    for (const address of ['https://user:pass@quakes.example', 'file:///etc', 'nonsense'])
      expect(() => originsOf('http:x', { address })).toThrow(/address of upstream/);
    expect(() => originsOf('http:x', { address: 'https://user:pass@quakes.example' })).not.toThrow(/pass@/);
  });
});

describe('U19 a redirect', () => {
  it.each(elsewhere.filter((one) => /^[\x21-\x7e]+$/.test(one) && one.length < 1_000))(
    'to %s ends the call, and nothing is connected',
    async (to) => {
      const server = await serve(() => redirect(to.replace('quakes.example', 'other.example')));
      let lookups = 0;
      const http = client({ address: server.address }, { lookup: async () => (lookups++, []) });
      expect(await failureOf(http.get('/'))).toMatchObject({ code: 'left_origin' });
      expect([server.arrived.length, lookups]).toEqual([1, 0]);
    },
  );

  it('within the origin is followed, with the credential', async () => {
    const server = await serve(({ path }) => (path === '/a' ? redirect('/b', '307 There') : [json({ path })]));
    const got = await client({ address: server.address }).get('/a');
    expect([got.json(), got.url]).toEqual([{ path: '/b' }, `${server.address}/b`]);
    expect(server.arrived.map(({ headers }) => headers['x-api-key'])).toEqual([TOKEN, TOKEN]);
  });

  it('to a listed origin is followed, and nothing that was declared or given goes along', async () => {
    const files = await serve(() => [json({ file: true })], { host: '127.0.0.2' });
    const server = await serve(() => redirect(`${files.address}/f?signed=1`));
    const http = client({ address: server.address, origins: [files.address] });
    expect((await http.get('/', { headers: { Authorization: 'Basic own', Cookie: 'a=b' } })).json()).toEqual({
      file: true,
    });
    expect(Object.keys(files.arrived[0]!.headers).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
    expect(files.arrived[0]!.headers['host']).toBe(new URL(files.address).host);
  });

  it('in a circle, without end, without a target, or of a call that changes something is refused', async () => {
    const circle = await serve(({ path }) => redirect(path === '/a' ? '/b' : '/a'));
    const endless = await serve((_, nth) => redirect(`/${nth}`));
    const nowhere = await serve(() => [answer('', { status: '302 There' })]);
    const twice = await serve(() => [answer('', { status: '302 There', headers: ['Location: /a', 'Location: /b'] })]);
    const choices = await serve(() => redirect('/a', '300 Choose'));
    for (const [server, calls] of [
      [circle, 2],
      [endless, 6],
      [nowhere, 1],
      [twice, 1],
      [choices, 1],
    ] as const) {
      expect(await failureOf(client({ address: server.address }).get('/a')), server.address).toMatchObject({
        code: 'redirect_refused',
      });
      expect(server.arrived.length).toBe(calls);
    }
    const post = await serve(() => redirect('/b', '303 There'));
    expect(await failureOf(client({ address: post.address }).send('POST', '/a', { body: {} }))).toMatchObject({
      code: 'redirect_refused',
    });
    expect(post.arrived.length).toBe(1);
  });
});

describe('U25 a name that leads elsewhere from one lookup to the next', () => {
  it('does not move a read of pages, which stays with the first address to its end', async () => {
    const server = await serve(({ path }) => [
      answer(JSON.stringify({ page: path }), { headers: ['Connection: close'] }),
    ]);
    const canary = await serve(() => [json({ canary: true })], { host: '127.0.0.2', port: server.port });
    let lookups = 0;
    const lookup = async (): Promise<{ address: string; family: number }[]> => [
      { address: lookups++ % 2 === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 },
    ];
    const http = client({ address: `http://quakes.example:${server.port}` }, { lookup });
    const pages: unknown[] = [];
    for await (const page of http.pages('/0', (_, nth) => (nth < 6 ? `/${nth}` : undefined))) pages.push(page.json());
    expect(pages.length).toBe(6);
    expect([server.arrived.length, canary.arrived.length, lookups]).toEqual([6, 0, 1]);
    await http.get('/next');
    expect(canary.arrived.length, 'the next operation asks again').toBe(1);
  });

  it('does not move the redirects of one call either', async () => {
    const server = await serve(({ path }) =>
      path === '/end'
        ? [json({})]
        : [answer('', { status: '302 There', headers: ['Location: /end', 'Connection: close'] })],
    );
    let lookups = 0;
    const http = client(
      { address: `http://quakes.example:${server.port}` },
      { lookup: async () => [{ address: lookups++ === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }] },
    );
    await http.get('/start');
    expect([server.arrived.length, lookups]).toEqual([2, 1]);
  });
});

describe('a credential', () => {
  it('is in no error, even where the other side repeats it', async () => {
    const problem = { type: `https://errors.example/${TOKEN}`, title: TOKEN };
    const scripts: Script[] = [
      [answer(JSON.stringify(problem), { status: '403 No', headers: ['Content-Type: application/problem+json'] })],
      [
        answer(JSON.stringify({ type: 'tokenechoed' }), {
          status: '403 No',
          headers: ['Content-Type: application/problem+json'],
        }),
      ],
      [answer(TOKEN)],
      [`${TOKEN}\r\n\r\n`],
      [`HTTP/1.1 200 ${TOKEN}\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n`],
      [`HTTP/1.1 500 ${TOKEN}\r\nX-${TOKEN}: ${TOKEN}\r\nContent-Length: 0\r\n\r\n`],
      redirect(`http://${TOKEN}.evil.example/`),
      redirect(`http://evil.example/?key=${TOKEN}`),
      redirect(`/${TOKEN}`, '300 Choose'),
      [answer('<x>', { headers: [`Content-Type: ${TOKEN}/x`] })],
      [answer('x', { headers: [`Content-Encoding: ${TOKEN}`] })],
      [answer('x', { status: '503 Away', headers: [`Retry-After: ${TOKEN}`] })],
      [
        answer(JSON.stringify({ type: TOKEN }), {
          status: '403 No',
          headers: ['Content-Type: application/problem+json'],
        }),
      ],
    ];
    for (const [nth, script] of scripts.entries()) {
      const server = await serve(() => script);
      const error = await errorOf(client({ address: server.address }).get(`/of/${TOKEN}`, { query: { key: TOKEN } }));
      const shown = [
        error.message,
        error.stack,
        JSON.stringify(error),
        JSON.stringify(error.failure),
        inspect(error, { depth: 9, showHidden: true }),
      ].join('\n');
      expect(shown.includes(TOKEN), `script ${nth}: ${error.message}`).toBe(false);
      expect(server.arrived[0]!.headers['x-api-key']).toBe(TOKEN);
    }
  });

  it('is in no error of a link to the next page, and may come back in one on its origin', async () => {
    const server = await serve(({ path }) => [
      json({ next: path === '/' ? `/2?key=${TOKEN}` : `http://%74${TOKEN.slice(1)}.evil.example/` }),
    ]);
    const seen: string[] = [];
    const error = await errorOf(
      (async () => {
        for await (const page of client({ address: server.address }).pages(
          '/',
          (one) => (one.json() as { next: string }).next,
        ))
          seen.push(page.url);
      })(),
    );
    expect(error.failure.code).toBe('left_origin');
    expect(inspect(error, { depth: 9 }).includes(TOKEN)).toBe(false);
    expect(seen.length).toBe(2);
  });
});
