// What is promised here: the probe of an upstream is a call like every other: below its address, with its credentials to nobody else, and judged by its breaker.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { makeProbe } from '../../src/engine/activity/probe.ts';
import { secret } from '../../src/model/upstream.ts';
import { readBreaker } from '../../src/store/breakers.ts';
import { answer, type Script, startScripts, type ScriptServer } from '../support/http.ts';
import { codeOf, fails, openScene, quick, type Scene, until } from '../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

const toClose: ScriptServer[] = [];
afterEach(async () => {
  await scene.closeWorkers();
  for (const one of toClose.splice(0)) await one.close();
});

let keys = 0;
const serve = async (play: (path: string) => Script): Promise<ScriptServer> => {
  const server = await startScripts(({ path }) => play(path));
  toClose.push(server);
  return server;
};

/** What the breaker becomes by a probe that is answered so, at the end of its first cooldown. */
async function probed(server: ScriptServer): Promise<{ told: string; state: string }> {
  const key = `http:probed-${++keys}`;
  const worker = await scene.worker(
    'one',
    {
      [key]: {
        address: `${server.address}/base`,
        probe: '/health',
        headers: { authorization: secret('TOKEN', { before: 'Bearer ' }) },
        breaker: quick,
      },
    },
    { secrets: { TOKEN: 'let-me-in' } },
  );
  for (let n = 0; n < 3; n++) await codeOf(worker.at(key).call(fails('http_503')));
  let told = 'breaker_open';
  await until(async () => {
    told = await codeOf(makeProbe(worker, key, new AbortController().signal));
    return told !== 'breaker_open';
  });
  return { told, state: (await readBreaker(scene.pool, key))!.state };
}

it('a good answer passes; it was asked for below the address, with the credential', async () => {
  const server = await serve(() => [answer('well')]);
  expect(await probed(server)).toEqual({ told: 'ok', state: 'ramping' });
  expect(server.arrived.map(({ method, path, headers }) => [method, path, headers['authorization']])).toEqual([
    ['GET', '/base/health', 'Bearer let-me-in'],
  ]);
});

it('an error does not pass', async () => {
  expect(await probed(await serve(() => [answer('away', { status: '503 Away' })]))).toEqual({
    told: 'http_503',
    state: 'open',
  });
});

it('a redirect to the login of another origin does not pass, and nothing is sent there', async () => {
  const login = await serve(() => [answer('Please log in.')]);
  const server = await serve(() => [
    answer('', { status: '302 Found', headers: [`Location: ${login.address}/login`] }),
  ]);
  expect(await probed(server)).toEqual({ told: 'answer_unreadable', state: 'open' });
  expect(login.arrived).toEqual([]);
});

it('an answer that is huge is read only as far as a probe may be long', async () => {
  const server = await serve(() => [answer('x'.repeat(3 * 1024 * 1024))]);
  expect(await probed(server)).toMatchObject({ told: 'answer_too_large' });
});
