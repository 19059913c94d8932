// What is promised here: the pipeline of examples/upstream heals an outage of its shop without a line of its own about it, and loads what it knows of records that have grown.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Project } from '../../src/engine/worker.ts';
import { openHttp } from '../../src/connectors/http/index.ts';
import type { StageContext } from '../../src/engine/worker.ts';
import { ordersOf } from '../../examples/upstream/src/activities/pages.ts';
import { sealer } from '../flow/memory.ts';
import { json, plainUpstream, startScripts } from '../support/http.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { quickBreaker, quickPace } from '../support/outage.ts';

const orders = [1250, 399, 8000].map((cents, id) => ({ id: `o-${id}`, cents }));
/** Of a later day the shop says more, and one of two hundred orders is bad. */
const answers: Readonly<Record<string, readonly object[]>> = {
  '2026-01-05': orders,
  '2026-01-06': Array.from({ length: 200 }, (_, id) => ({
    id: `p-${id}`,
    cents: id === 7 ? 'a lot' : id,
    note: 'a gift',
  })),
};
let shop: Server;
let engine: Engine;
let project: Project;
let down = true;
const seen: { url: string; token: string | undefined }[] = [];

beforeAll(async () => {
  shop = createServer((request, response) => {
    seen.push({ url: request.url!, token: request.headers.authorization });
    const date = new URL(request.url!, 'http://shop').searchParams.get('date')!;
    const [status, body] = down ? [503, {}] : [200, answers[date]];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  process.env['SHOP_ORDERS_API'] = `http://127.0.0.1:${(shop.address() as AddressInfo).port}/api`;
  project = ((await import('../../examples/upstream/mendflow.config.ts')) as { default: Project }).default;
  const declared = project.upstreams!['http:shop-orders']!;
  engine = await openEngine(
    (_stage, upstreams) => project.serve({ pool: engine.pool, seal: sealer }, upstreams),
    // The same upstream with a short cooldown.
    {
      upstreams: { 'http:shop-orders': { ...declared, breaker: quickBreaker } },
      pace: quickPace,
      secrets: () => 'of-the-shop',
    },
  );
  await engine.startWorker('./examples/upstream/src/workflows/index.ts');
});
afterAll(async () => {
  await engine?.close();
  shop?.close();
});

it('waits for a shop that is down, and loads its orders when it is back', async () => {
  const handle = await engine.start('shop-orders', { dataDate: '2026-01-05' });
  const opened = `select 1 from mendflow.breaker_event where key = 'http:shop-orders' and to_state = 'open'`;
  for (let looks = 0; looks < 400 && (await engine.rows(opened)).length === 0; looks++) await sleep(100);
  expect(await engine.rows(opened)).not.toEqual([]);
  down = false;
  expect(await engine.result(handle)).toMatchObject({ state: 'done', balanced: true, read: 3, loaded: 3 });
  expect(await engine.rows('select id, cents::int from shop_orders order by id')).toEqual(orders);
  expect(new Set(seen.map(({ url }) => url))).toEqual(new Set(['/api/shop-orders?date=2026-01-05']));
  expect(new Set(seen.map(({ token }) => token))).toEqual(new Set(['Bearer of-the-shop']));
});

it('goes on when the shop sends a field more, and makes a letter of a bad order', async () => {
  const handle = await engine.start('shop-orders', { dataDate: '2026-01-06' });
  expect(await engine.result(handle)).toMatchObject({ state: 'done', read: 200, loaded: 199, quarantined: 1 });
});

it('reads a list that comes page by page, whole and in order', async () => {
  const many = Array.from({ length: 230 }, (_, id) => ({ id: `q-${id}`, cents: id }));
  const paged = await startScripts(({ path }) => {
    const { searchParams } = new URL(path, 'http://shop');
    const page = searchParams.get('date') === '2026-01-07' ? Number(searchParams.get('page')) : 0;
    return [json(many.slice(100 * (page - 1), 100 * page))];
  });
  const service = openHttp(plainUpstream('http:shop-orders', { address: `${paged.address}/api` }), {
    readSecret: () => '',
  });
  const found: unknown[] = [];
  const ctx = { dataDate: '2026-01-07', signal: AbortSignal.timeout(30_000) } as StageContext;
  for await (const one of ordersOf(service, ctx)) found.push(one);
  await service.close();
  await paged.close();
  expect(found).toEqual(many);
  expect(paged.arrived.map(({ path }) => path)).toEqual(
    [1, 2, 3].map((n) => `/api/shop-orders?date=2026-01-07&page=${n}`),
  );
});
