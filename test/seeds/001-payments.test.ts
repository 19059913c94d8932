// What is promised here: document 001 on actions that must not happen twice, with a real server that counts them.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HttpClient, openHttp } from '../../src/connectors/http/index.ts';
import { flakyApi } from '../../src/model/policy.ts';
import type { Policy } from '../../src/model/spec.ts';
import { openScene, type Scene } from '../support/upstreams.ts';
import { guardedStage } from './guarded.ts';

type Fault = 'none' | 'cut after the payment' | 'cut in mid-answer' | 'too early' | 'misdirected' | Answered;
/** A status, and perhaps when to come back, from a bank that has paid all the same. */
type Answered = `${number}` | `${number} retry-after`;

let bank: Server;
let scene: Scene;
let http: HttpClient & { close(): Promise<void> };
/** The same bank, which says of itself what its refusals mean. */
let honest: typeof http;
let fault: Fault = 'none';
let payments = 0;

beforeAll(async () => {
  bank = createServer((request, response) => {
    request.resume().on('end', () => {
      if (fault === 'too early') return void response.writeHead(425).end();
      if (fault === 'misdirected') return void response.writeHead(421).end();
      payments++;
      if (fault === 'cut after the payment') return void request.socket.destroy();
      const [, status, asks] = /^(\d{3})( retry-after)?$/.exec(fault) ?? [];
      if (status !== undefined)
        return void response.writeHead(Number(status), asks === undefined ? {} : { 'retry-after': '1' }).end();
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 13 });
      if (fault === 'none') return void response.end('{"paid":true}');
      response.write('{"paid":', () => request.socket.destroy());
    });
  });
  await new Promise<void>((resolve) => bank.listen(0, '127.0.0.1', resolve));
  scene = await openScene();
  const address = `http://127.0.0.1:${(bank.address() as AddressInfo).port}`;
  const patient = { consecutive: 1_000, callsMin: 1_000, gateMaxMs: 1 };
  const upstreams = await scene.worker('one', {
    'http:bank': { address, breaker: patient },
    'http:honest': { address, breaker: patient, undone: ['http_429', 'http_503_retry_after'] },
  });
  http = openHttp(upstreams.at('http:bank'), upstreams);
  honest = openHttp(upstreams.at('http:honest'), upstreams);
});
afterAll(async () => {
  await http?.close();
  await honest?.close();
  await scene?.close();
  bank?.close();
});

const once = { ...flakyApi, idempotent: false } as const satisfies Policy;
/** Pays; the server's fault passes after the first call. */
const pay =
  (of: Fault, to = () => http) =>
  async (attempt: number) => {
    fault = attempt === 1 ? of : 'none';
    return await to().send('POST', '/payments', { body: { cents: 4500 } });
  };

describe('001-10 what is not idempotent is retried at the network layer only', () => {
  it.each<Fault>(['cut after the payment', 'cut in mid-answer'])('%s: paid once, and a person is asked', async (of) => {
    payments = 0;
    const told = await guardedStage('pay', once, pay(of));
    expect(payments).toBe(1);
    expect(told).toMatchObject({ delays: [], failure: { attempts: 1, why: 'may have happened' } });
  });

  it('the same stage without the word would have paid twice', async () => {
    payments = 0;
    await guardedStage('pay', flakyApi, pay('cut after the payment'));
    expect(payments).toBe(2);
  });

  // What a server or a gateway says after the fact; each may have passed on the first half, or all of it.
  it.each<Answered>([
    '408',
    '413 retry-after',
    '420',
    '423',
    '424',
    '429',
    '429 retry-after',
    '403 retry-after',
    '500',
    '502',
    '503',
    '503 retry-after',
    '504',
    '507',
    '507 retry-after',
    '509',
    '520',
    '521',
    '523',
    '529',
    '530',
    '599',
  ])('%s after the payment: paid once, and a person is asked', async (of) => {
    payments = 0;
    const told = await guardedStage('pay', once, pay(of));
    expect(payments).toBe(1);
    expect(told).toMatchObject({ delays: [], failure: { attempts: 1, why: 'may have happened' } });
  });

  it.each<Answered>(['429', '503 retry-after'])('%s is made again where the upstream promises that', async (of) => {
    payments = 0;
    const told = await guardedStage(
      'pay',
      once,
      pay(of, () => honest),
    );
    expect(payments).toBe(2);
    expect(told.failure).toBeUndefined();
  });

  it.each<Fault>(['too early', 'misdirected'])(
    'a call that was refused before anything happened (%s) is made again',
    async (of) => {
      payments = 0;
      const told = await guardedStage('pay', once, pay(of));
      expect(payments).toBe(1);
      expect(told.failure).toBeUndefined();
      expect(told.delays).toHaveLength(1);
    },
  );

  it('a call that returned success is committed: nothing calls it again', async () => {
    payments = 0;
    const told = await guardedStage('pay', once, pay('none'));
    expect(told.failure).toBeUndefined();
    expect(payments).toBe(1);
  });
});
