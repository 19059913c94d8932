// What is promised here: the pipeline of examples/upstream heals an outage of its shop without a line of its own about it.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Project } from '../../src/engine/worker.ts';
import { sealer } from '../flow/memory.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { quickBreaker, quickPace } from '../support/outage.ts';

const orders = [1250, 399, 8000].map((cents, id) => ({ id: `o-${id}`, cents }));
let shop: Server;
let engine: Engine;
let project: Project;
let down = true;
const seen: { url: string; token: string | undefined }[] = [];

beforeAll(async () => {
  shop = createServer((request, response) => {
    seen.push({ url: request.url!, token: request.headers.authorization });
    const [status, body] = down ? [503, {}] : [200, orders];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  process.env['SHOP_API'] = `http://127.0.0.1:${(shop.address() as AddressInfo).port}/api`;
  project = ((await import('../../examples/upstream/mendflow.config.ts')) as { default: Project }).default;
  const declared = project.upstreams!['http:shop']!;
  engine = await openEngine(
    (_stage, upstreams) => project.serve({ pool: engine.pool, seal: sealer }, upstreams),
    // The same upstream with a short cooldown.
    {
      upstreams: { 'http:shop': { ...declared, breaker: quickBreaker } },
      pace: quickPace,
      secrets: () => 'of-the-shop',
    },
  );
  await engine.startWorker('./examples/upstream/workflows.ts');
});
afterAll(async () => {
  await engine?.close();
  shop?.close();
});

it('waits for a shop that is down, and loads its orders when it is back', async () => {
  const handle = await engine.start('shop-orders', { dataDate: '2026-01-05' });
  const opened = `select 1 from mendflow.breaker_event where key = 'http:shop' and to_state = 'open'`;
  for (let looks = 0; looks < 400 && (await engine.rows(opened)).length === 0; looks++) await sleep(100);
  expect(await engine.rows(opened)).not.toEqual([]);
  down = false;
  expect(await engine.result(handle)).toMatchObject({ state: 'done', balanced: true, read: 3, loaded: 3 });
  expect(await engine.rows('select id, cents::int from shop_orders order by id')).toEqual(orders);
  expect(new Set(seen.map(({ url }) => url))).toEqual(new Set(['/api/orders?date=2026-01-05']));
  expect(new Set(seen.map(({ token }) => token))).toEqual(new Set(['Bearer of-the-shop']));
});
