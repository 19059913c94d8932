// What is promised here: document 001 on actions that must not happen twice, with a real server that counts them.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HttpClient, openHttp } from '../../src/connectors/http/index.ts';
import { flakyApi } from '../../src/model/policy.ts';
import type { Policy } from '../../src/model/spec.ts';
import { openScene, type Scene } from '../support/upstreams.ts';
import { guardedStage } from './guarded.ts';

type Fault = 'none' | 'cut after the payment' | 'cut in mid-answer' | 'too early';

let bank: Server;
let scene: Scene;
let http: HttpClient & { close(): Promise<void> };
let fault: Fault = 'none';
let payments = 0;

beforeAll(async () => {
  bank = createServer((request, response) => {
    request.resume().on('end', () => {
      if (fault === 'too early') return void response.writeHead(425).end();
      payments++;
      if (fault === 'cut after the payment') return void request.socket.destroy();
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 13 });
      if (fault === 'none') return void response.end('{"paid":true}');
      response.write('{"paid":', () => request.socket.destroy());
    });
  });
  await new Promise<void>((resolve) => bank.listen(0, '127.0.0.1', resolve));
  scene = await openScene();
  const address = `http://127.0.0.1:${(bank.address() as AddressInfo).port}`;
  const upstreams = await scene.worker('one', { 'http:bank': { address } });
  http = openHttp(upstreams.at('http:bank'), upstreams);
});
afterAll(async () => {
  await http?.close();
  await scene?.close();
  bank?.close();
});

const once = { ...flakyApi, idempotent: false } as const satisfies Policy;
/** Pays; the server's fault passes after the first call. */
const pay = (of: Fault) => async (attempt: number) => {
  fault = attempt === 1 ? of : 'none';
  return await http.send('POST', '/payments', { body: { cents: 4500 } });
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

  it('a call that was refused before anything happened is made again', async () => {
    payments = 0;
    const told = await guardedStage('pay', once, pay('too early'));
    expect(payments).toBe(1);
    expect(told.failure).toBeUndefined();
    expect(told.delays).toHaveLength(1);
  });

  it('a call that returned success is committed: nothing calls it again', async () => {
    payments = 0;
    const told = await guardedStage('pay', once, pay('none'));
    expect(told.failure).toBeUndefined();
    expect(payments).toBe(1);
  });
});
