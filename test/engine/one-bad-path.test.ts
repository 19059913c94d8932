// What is promised here: what is wrong with one call stays with its run, which asks after its tries; the door stays open for all others.
// An outage that all meet, or one caller that is alone, opens it all the same.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHttp } from '../../src/connectors/http/index.ts';
import { serve, stage } from '../../src/engine/worker.ts';
import type { Upstream } from '../../src/model/upstream.ts';
import { answer, hang, json, reset, type Script, type ScriptServer, startScripts } from '../support/http.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { paths } from './pipelines-one-bad.ts';

/** What the bad path answers, for ever, and the code that its run asks with. */
const kinds: Readonly<Record<string, { readonly plays: Script; readonly code: string }>> = {
  empty: { plays: [answer('', { headers: ['content-type: application/json'] })], code: 'answer_unreadable' },
  invalid: { plays: [answer('{"a":', { headers: ['content-type: application/json'] })], code: 'answer_unreadable' },
  html: { plays: [answer('<p>no</p>', { headers: ['content-type: text/html'] })], code: 'answer_unreadable' },
  cut: { plays: [Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{}'), { do: 'end' }], code: 'answer_cut' },
  longer: { plays: [Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}{}')], code: 'answer_cut' },
  large: { plays: [json('x'.repeat(5_000))], code: 'answer_too_large' },
  circle: {
    plays: [answer('', { status: '302 Found', headers: ['location: /circle/bad'] })],
    code: 'redirect_refused',
  },
  fails: { plays: [answer('', { status: '500 No' })], code: 'http_500' },
  away: { plays: [answer('', { status: '503 Away' })], code: 'http_503' },
  gateway: { plays: [answer('', { status: '502 Bad' })], code: 'http_502' },
  hangs: { plays: [hang], code: 'net_timeout' },
  resets: { plays: [reset], code: 'net_reset' },
  missing: { plays: [answer('', { status: '404 No' })], code: 'http_404' },
};

let server: ScriptServer;
let engine: Engine;
let down = false;
beforeAll(async () => {
  server = await startScripts(({ path }) => {
    const [, kind, name] = path.split('/');
    if (down) return [answer('', { status: '503 Away' })];
    return name === 'bad' ? kinds[kind!]!.plays : [json({ ok: name })];
  });
  const names = [...Object.keys(kinds), 'fifty', 'alone', 'all'];
  const declared = (name: string): Upstream => ({
    address: `${server.address}/${name === 'fifty' ? 'empty' : name}`,
    // Long enough for a good answer of a machine that is busy.
    timeout: name === 'hangs' ? '1 second' : '10 seconds',
    // Much less than the tries of one run.
    breaker: { consecutive: 3, workersMin: 1, cooldownMs: 700, rampMs: 500 },
  });
  engine = await openEngine(
    (_stage, upstreams) => {
      const clients = new Map(names.map((name) => [name, openHttp(upstreams.at(`http:${name}`), upstreams)]));
      return [
        serve(paths, {
          get: async ({ at, path }: { at: string; path: string }) =>
            (await clients.get(at)!.get(path, { ...stage(), bytesMax: 4_000 })).status,
        }),
      ];
    },
    { upstreams: Object.fromEntries(names.map((name) => [`http:${name}`, declared(name)])) },
  );
  await engine.startWorker('./test/engine/pipelines-one-bad.ts');
});
afterAll(async () => {
  await engine?.close();
  await server?.close();
});

const start = (at: string, path: string) =>
  engine.start('paths', { input: { at, path: `/${path}` }, scope: `${at}-${path}` });
const trips = async (at: string): Promise<unknown[]> =>
  engine.rows(`select reason, detail from mendflow.breaker_event where key = $1 and to_state = 'open'`, [`http:${at}`]);

/** Starts the bad one between good ones; more good ones go on while it tries. */
async function scene(at: string, good: number): Promise<void> {
  const others = Array.from({ length: good }, (_, nth) => `p${nth}`);
  const half = Math.ceil(good / 2);
  const first = await Promise.all(others.slice(0, half).map((path) => start(at, path)));
  await Promise.all(first.map((run) => run.result()));
  await start(at, 'bad');
  const last = await Promise.all(others.slice(half).map((path) => start(at, path)));
  for (const run of last) expect(await run.result()).toMatchObject({ state: 'done' });
}

describe('one bad path', { timeout: 180_000 }, () => {
  it.each(Object.keys(kinds))('that is %s: its run asks, and no breaker opens', async (kind) => {
    await scene(kind, 6);
    expect(await engine.parked('get', `paths/2026-11-21/${kind}-bad`)).toMatchObject({
      until: 'decision',
      code: kinds[kind]!.code,
    });
    expect(await trips(kind)).toEqual([]);
  });

  it('in fifty: no trip, and its run asks after its eight tries', async () => {
    const before = server.arrived.length;
    await scene('fifty', 49);
    expect(await engine.parked('get', 'paths/2026-11-21/fifty-bad')).toMatchObject({ until: 'decision', attempts: 8 });
    expect(await trips('fifty')).toEqual([]);
    const called = server.arrived.slice(before).map(({ path }) => path.split('/').at(-1)!);
    expect(called.filter((name) => name === 'bad')).toHaveLength(8);
    // A good call may come twice where the machine is so slow that its connection was closed meanwhile.
    expect(new Set(called).size).toBe(49 + 1);
  });
});

describe('an outage', () => {
  it('opens the breaker for a caller that is alone', async () => {
    down = true;
    await start('alone', 'p1');
    for (let looks = 0; looks < 200 && (await trips('alone')).length === 0; looks++) await sleep(50);
    const [trip] = (await trips('alone')) as { detail: object }[];
    expect(trip).toMatchObject({
      reason: 'threshold',
      detail: {
        consecutive: 3,
        cause: { code: 'http_503', at: new URL(server.address).host, by: 'paths/2026-11-21/alone-p1 get' },
      },
    });
    down = false;
  });

  it('opens it for many that were answered a moment before', async () => {
    for (const path of ['p1', 'p2', 'p3']) await engine.result(await start('all', path));
    expect(await trips('all')).toEqual([]);
    down = true;
    await Promise.all(['q1', 'q2', 'q3'].map((path) => start('all', path)));
    for (let looks = 0; looks < 200 && (await trips('all')).length === 0; looks++) await sleep(50);
    expect(await trips('all')).toHaveLength(1);
    down = false;
  });
});
