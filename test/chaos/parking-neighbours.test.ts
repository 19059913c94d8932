// What is promised here: an upstream that is dead or hangs gets few calls, and whoever calls another one hardly notices.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get, type RequestOptions } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { serve, stage } from '../../src/engine/worker.ts';
import { readBreaker } from '../../src/store/breakers.ts';
import { call, well } from '../engine/pipelines-outage.ts';
import { startApi } from '../support/api.ts';
import { asking } from '../support/asking.ts';
import { openEngine } from '../support/engine.ts';
import { outageWorkflows, quickPace } from '../support/outage.ts';

const RUNS = 50;
const WORKERS = 2;
const SLOTS = 5;
const COOLDOWN_MS = 1_000;
const NEIGHBOURS = 24;

const closing: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  closing.length = 0;
});

/** A real request that is ended by its signal, body included. */
const ask = (signal: AbortSignal, options: RequestOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = get({ ...options, signal }, (answer) => {
      answer.resume().once('end', resolve).once('error', reject);
    });
    request.once('error', reject);
  });

type How = (signal: AbortSignal) => Promise<void>;

const ways: Readonly<Record<string, () => Promise<How>>> = {
  'answers 503': async () => {
    const api = await startApi(503);
    closing.push(() => api.close());
    return async (signal) => {
      const answer = await fetch(api.url, { signal });
      throw Object.assign(new Error('down'), { statusCode: answer.status });
    };
  },
  'has a name that is never found': () =>
    Promise.resolve((signal) => ask(signal, { host: 'hangs.example', port: 80, lookup: () => undefined })),
  'never takes the connection': async () => {
    // A process that listens for one connection and then takes none; two fill its queue.
    const script = `const s = require('node:net').createServer(); s.listen(0, '127.0.0.1', 1, () => { require('node:fs').writeSync(1, s.address().port + '\\n'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); })`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    closing.push(() => void child.kill('SIGKILL'));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    const full: Socket[] = [];
    for (let n = 0; n < 4; n++) full.push(connect(port, '127.0.0.1').on('error', () => undefined));
    closing.push(() => full.forEach((socket) => socket.destroy()));
    return (signal) => ask(signal, { host: '127.0.0.1', port, agent: false });
  },
  'never ends its answer': async () => {
    const server = createServer((_request, response) => void response.writeHead(200).write('{'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return (signal) => ask(signal, { host: '127.0.0.1', port, agent: false });
  },
};

const percentile = (all: readonly number[], share: number): number =>
  all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * share))]!;

describe.each(Object.keys(ways))('an upstream that %s', (way) => {
  it('gets few calls from fifty runs, and its neighbour is served as before', async () => {
    const how = await ways[way]!();
    const neighbour = await startApi(200);
    closing.push(() => neighbour.close());
    const calledAt: number[] = [];
    const upstream = {
      address: 'http://127.0.0.1:1',
      timeout: '1500 milliseconds',
      concurrency: SLOTS,
      breaker: { consecutive: 3, workersMin: 1, cooldownMs: COOLDOWN_MS, cooldownMaxMs: 4_000, rampMs: 500 },
    } as const;
    const engine = await openEngine(
      (_stage, upstreams) => [
        serve(call, {
          ask: () =>
            upstreams.at('http:api').call(async (signal) => {
              calledAt.push(Date.now());
              await how(signal);
              return 200;
            }, stage()),
        }),
        serve(well, asking(upstreams, 'http:well')),
      ],
      {
        upstreams: { 'http:api': upstream, 'http:well': { address: neighbour.url, concurrency: SLOTS } },
        pace: quickPace,
      },
    );
    closing.push(() => engine.close());
    for (let worker = 0; worker < WORKERS; worker++) await engine.startWorker(outageWorkflows);

    const served = async (prefix: string, n = NEIGHBOURS): Promise<number[]> => {
      const took: number[] = [];
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < n) {
          const id = `${prefix}${++next}`;
          const startedAt = Date.now();
          await engine.result(await engine.start('well', { input: { id }, scope: id }));
          took.push(Date.now() - startedAt);
        }
      };
      await Promise.all([lane(), lane(), lane()]);
      return took;
    };
    await served('warm-', 6);
    const alone = await served('alone-');
    const outageAt = Date.now();
    const handles = await Promise.all(
      Array.from({ length: RUNS }, (_none, n) =>
        engine.start('call', { input: { id: `hang-${n}` }, scope: `hang-${n}` }),
      ),
    );
    // Starting fifty runs at once costs everybody's time; what is asked here is what their outage costs.
    for (let tries = 0; tries < 600; tries++) {
      const [row] = await engine.rows<{ n: number }>('select count(*)::int as n from mendflow.parked_run');
      if (row!.n === RUNS) break;
      await sleep(50);
    }
    const beside = await served('beside-');
    const lastedMs = Date.now() - outageAt;
    const calls = calledAt.length;
    const figures = {
      way,
      calls,
      lastedMs,
      aloneMs: [percentile(alone, 0.5), percentile(alone, 0.99)],
      besideMs: [percentile(beside, 0.5), percentile(beside, 0.99)],
    };
    console.log(JSON.stringify(figures));
    expect((await readBreaker(engine.pool, 'http:api'))!.state).not.toBe('closed');
    // What was on its way when the breaker opened, then one trial per cooldown.
    expect(calls).toBeLessThanOrEqual(WORKERS * SLOTS + 3 + Math.ceil(lastedMs / COOLDOWN_MS));
    // Starved, they would wait for the time-outs of fifty runs; the tenth that is aimed at cannot be seen on a machine that does other things too.
    expect(percentile(beside, 0.5)).toBeLessThan(3 * percentile(alone, 0.5) + 1_000);
    await Promise.all(handles.map((handle) => handle.terminate('test')));
  });
});
