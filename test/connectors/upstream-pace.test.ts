// What is promised here: over all workers no second holds more calls than an upstream declares, whatever else happens; and a breaker that is closed costs next to nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { admitNow } from '../../src/connectors/upstream/client.ts';
import { openCache } from '../../src/connectors/upstream/cache.ts';
import { countOk } from '../../src/connectors/upstream/report.ts';
import { readBreaker } from '../../src/store/breakers.ts';
import { gateTo } from '../support/gate.ts';
import { codeOf, fails, openScene, quick, type Scene, until } from '../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

/** The most calls that any second holds. */
const busiest = (log: readonly number[]): number => {
  const at = log.toSorted((a, b) => a - b);
  return Math.max(...at.map((begin, index) => at.slice(index).filter((time) => time < begin + 1_000).length));
};

it('two workers with ten callers each keep the pace together, and use it', async () => {
  const key = 'http:paced';
  const declared = { [key]: { address: 'http://localhost', callsPerSecond: 20 } };
  const workers = await Promise.all(['one', 'two'].map((name) => scene.worker(name, declared)));
  const log: number[] = [];
  const stop = performance.now() + 4_000;
  // A machine that stops for a moment misses slots, and must not make up for them.
  const stall = setTimeout(() => {
    const begun = performance.now();
    while (performance.now() < begun + 500);
  }, 1_500);
  await Promise.all(
    workers.flatMap((worker) =>
      Array.from({ length: 10 }, async () => {
        while (performance.now() < stop)
          await worker.at(key).call(async () => {
            log.push(performance.now());
            await sleep(5);
          });
      }),
    ),
  );
  clearTimeout(stall);
  expect(busiest(log)).toBeLessThanOrEqual(20);
  process.stdout.write(
    `Paced at 20 a second over two workers: ${log.length} calls in ${Math.round(log.at(-1)! - log[0]!)} ms, at most ${busiest(log)} in a second.\n`,
  );
  // On an idle machine 19 a second; a busy one gives up slots that it missed.
  expect(log.length).toBeGreaterThan(40);
});

it('a worker without the store keeps to its share', async () => {
  const gate = await gateTo(scene.url);
  const key = 'http:shared';
  const declared = { [key]: { address: 'http://localhost', callsPerSecond: 10 } };
  const apart = await scene.worker('apart', declared, { url: gate.url });
  const other = await scene.worker('other', declared);
  // The one that is cut off knows of at least this other one from its last look.
  await sleep(5_200);
  gate.set('refuses');
  const log: number[] = [];
  const stop = performance.now() + 3_000;
  const loop = async (worker: typeof apart): Promise<void> => {
    while (performance.now() < stop) await worker.at(key).call(() => Promise.resolve(log.push(performance.now())));
  };
  await Promise.all([loop(apart), loop(apart)]);
  expect(busiest(log)).toBeLessThanOrEqual(5);
  expect(log.length).toBeGreaterThan(2);
  await other.close();
  await gate.close();
});

it('a call that is stopped while it waits for its slot is never made, and hands its trial back', async () => {
  const key = 'http:stopped';
  const worker = await scene.worker('w', {
    [key]: { address: 'http://localhost', callsPerSecond: 0.5, breaker: quick },
  });
  let made = 0;
  const call = (signal?: AbortSignal): Promise<string> =>
    codeOf(worker.at(key).call(() => Promise.resolve(made++), signal ? { signal } : {}));
  expect(await call()).toBe('ok');
  const stop = new AbortController();
  const waiting = call(stop.signal);
  await sleep(50);
  stop.abort(new Error('stopped'));
  expect(await waiting).toBe('Error: stopped');
  expect(made).toBe(1);
});

it('whoever waited for a slot while the breaker opened is not let go any more', async () => {
  const key = 'http:opened-meanwhile';
  const worker = await scene.worker('w', {
    [key]: { address: 'http://localhost', callsPerSecond: 2, breaker: { ...quick, cooldownMs: 60_000 } },
  });
  let made = 0;
  const work = (): Promise<never> => {
    made++;
    return fails('http_503')();
  };
  const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(worker.at(key).call(work))));
  expect(codes.filter((code) => code === 'http_503')).toHaveLength(made);
  expect(made).toBe(3);
  expect((await readBreaker(scene.pool, key))!.state).toBe('open');
});

it('an upstream that comes back is not run over, even if no pace is declared', async () => {
  const key = 'http:back';
  const worker = await scene.worker('w', {
    [key]: { address: 'http://localhost', breaker: { ...quick, rampMs: 60_000 } },
  });
  const client = worker.at(key);
  for (let n = 0; n < 3; n++) await codeOf(client.call(fails('http_503')));
  await until(async () => (await codeOf(client.call(() => Promise.resolve()))) === 'ok');
  const log: number[] = [];
  await Promise.all(Array.from({ length: 15 }, () => client.call(() => Promise.resolve(log.push(performance.now())))));
  expect(busiest(log)).toBeLessThanOrEqual(10);
});

it('asking a closed breaker takes less than a microsecond', () => {
  const declared = { 'http:hot': { address: 'http://localhost' } };
  const cache = openCache(declared, {
    control: undefined as never,
    databaseUrl: '',
    worker: 'w',
    readSecret: () => undefined,
  });
  const entry = cache.entries.get('http:hot')!;
  const options = {};
  const round = (times: number): number => {
    const begun = performance.now();
    for (let n = 0; n < times; n++) countOk(cache, entry, admitNow(cache, entry, options)!, false);
    return ((performance.now() - begun) * 1e6) / times;
  };
  round(200_000);
  const rounds = Array.from({ length: 5 }, () => round(200_000)).sort((a, b) => a - b);
  process.stdout.write(`Asking a closed breaker and counting the answer: ${rounds[2]!.toFixed(0)} ns.\n`);
  expect(rounds[2]).toBeLessThan(20_000);
});
