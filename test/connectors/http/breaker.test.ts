// What is promised here: a real client before a real breaker: real failures trip it, a refused credential holds it, a neighbour feels nothing.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type OpenHttp, openHttp } from '../../../src/connectors/http/index.ts';
import type { OpenUpstreams } from '../../../src/connectors/upstream.ts';
import { secret, type Upstream } from '../../../src/model/upstream.ts';
import { readBreaker } from '../../../src/store/breakers.ts';
import { answer, hang, json, type Script, startScripts, type ScriptServer } from '../../support/http.ts';
import { codeOf, openScene, quick, type Scene, until } from '../../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

let keys = 0;
/** A server, and clients of it in two workers. */
async function two(
  play: (nth: number, token: string | undefined) => Script,
  more: Partial<Upstream> = {},
  secrets: Record<string, string> = {},
): Promise<{ key: string; server: ScriptServer; one: OpenHttp; other: OpenHttp }> {
  const server = await startScripts(({ headers }, nth) => play(nth, headers['authorization']));
  const key = `http:real-${++keys}`;
  const declared = { [key]: { address: server.address, ...more, breaker: { ...quick, ...more.breaker } } };
  const open = (worker: OpenUpstreams): OpenHttp =>
    openHttp(worker.at(key), { readSecret: (named) => worker.readSecret(named) });
  const one = open(await scene.worker('one', declared, { secrets }));
  const other = open(await scene.worker('other', declared, { secrets }));
  toClose.push(one, other, server);
  return { key, server, one, other };
}
const state = async (key: string): Promise<string> => (await readBreaker(scene.pool, key))!.state;

describe('a real upstream', () => {
  it.each([
    ['503', [answer('', { status: '503 Away' })], 'http_503'],
    ['silence', [hang], 'net_timeout'],
    ['half an answer', ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1', { do: 'end' }], 'answer_cut'],
    ['a hung body', ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1', hang], 'net_timeout'],
  ] as const)(
    'that gives %s is called no more by any worker, and again once it is well',
    async (_what, script, code) => {
      let well = false;
      const { key, server, one, other } = await two(() => (well ? [json({})] : script), {
        timeout: '300 milliseconds',
        breaker: { cooldownMs: 1_500 },
      });
      for (let nth = 0; nth < 3; nth++) expect(await codeOf(one.get('/'))).toBe(code);
      expect(await state(key)).toBe('open');
      await until(async () => (await codeOf(other.get('/'))) === 'breaker_open');
      const before = server.arrived.length;
      for (let nth = 0; nth < 50; nth++) expect(await codeOf((nth % 2 ? one : other).get('/'))).toBe('breaker_open');
      expect(server.arrived.length).toBe(before);
      well = true;
      await until(async () => (await codeOf(one.get('/'))) === 'ok');
      await until(async () => (await codeOf(other.get('/'))) === 'ok');
    },
  );

  it('that refuses a credential is asked no more, until another one is there', async () => {
    const secrets = { TOKEN: 'old' };
    const { key, server, one, other } = await two(
      (_, token) => (token === 'Bearer new' ? [json({})] : [answer('', { status: '401 Who' })]),
      { headers: { Authorization: secret('TOKEN', { before: 'Bearer ' }) } },
      secrets,
    );
    expect(await codeOf(one.get('/'))).toBe('http_401');
    await until(async () => (await codeOf(other.get('/'))) === 'breaker_open');
    expect((await readBreaker(scene.pool, key))!.hold).toBe('http_401');
    const before = server.arrived.length;
    for (let nth = 0; nth < 20; nth++) expect(await codeOf(other.get('/'))).toBe('breaker_open');
    expect(server.arrived.length).toBe(before);
    secrets.TOKEN = 'new';
    await until(async () => (await codeOf(other.get('/'))) === 'ok');
    expect(server.arrived.at(-1)!.headers['authorization']).toBe('Bearer new');
  });

  it('that asks for fewer calls is left alone for as long as it says', async () => {
    const { server, one, other } = await two((nth) =>
      nth === 0 ? [answer('', { status: '429 Slow', headers: ['Retry-After: 2'] })] : [json({})],
    );
    const from = performance.now();
    expect(await codeOf(one.get('/'))).toBe('http_429');
    // The other worker hears of it a moment later.
    await until(async () => (await codeOf(other.get('/'))) === 'breaker_open');
    const calls = server.arrived.length;
    await until(async () => (await codeOf(other.get('/'))) === 'ok');
    expect(performance.now() - from).toBeGreaterThan(1_950);
    expect(server.arrived.length).toBe(calls + 1);
  });

  it('that answers with what is wrong in one request stays open for all others', async () => {
    const { key, one } = await two((nth) => [
      nth < 10 ? answer('', { status: ['404 No', '400 Bad', '410 Gone'][nth % 3]! }) : json({}),
    ]);
    for (let nth = 0; nth < 10; nth++) expect(await codeOf(one.get('/'))).toMatch(/^http_4/);
    expect([await state(key), await codeOf(one.get('/'))]).toEqual(['closed', 'ok']);
  });
});
