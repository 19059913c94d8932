// What is promised here: a control store that is killed, swallows everything or hangs up on its listeners never holds up a call, and never leaves workers of two minds for long.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openUpstreams } from '../../src/connectors/upstream.ts';
import { startPostgres } from '../../src/stack/index.ts';
import { breakerEvents, readBreaker } from '../../src/store/breakers.ts';
import { openPool } from '../../src/store/db.ts';
import { migrate } from '../../src/store/migrate.ts';
import { unlawful } from '../support/breaker-clock.ts';
import { gateTo } from '../support/gate.ts';
import { codeOf, fails, openScene, quick, type Scene, until } from '../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

const ok = (): Promise<string> => Promise.resolve('data');

it('goes on with a breaker of its own while Postgres is dead, and agrees with the row within five seconds of its return', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-breaker-'));
  chmodSync(dir, 0o755);
  const cacheDir = join(import.meta.dirname, '..', '..', '.mendflow', 'cache');
  let postgres = await startPostgres({ dir, cacheDir });
  try {
    const { url, port } = postgres;
    await migrate(url);
    const control = openPool({ url, applicationName: 'control' });
    const key = 'http:main-api';
    const seen: string[] = [];
    const open = await openUpstreams(
      { [key]: { address: 'http://localhost', breaker: { ...quick, cooldownMs: 300 } } },
      {
        control,
        databaseUrl: url,
        worker: 'w',
        readSecret: () => undefined,
        onTransition: (_, state) => seen.push(state),
      },
    );
    const client = open.at(key);
    expect(await client.call(ok)).toBe('data');
    await postgres.stop('immediate');
    const begun = performance.now();
    for (let n = 0; n < 200; n++) expect(await client.call(ok)).toBe('data');
    for (let n = 0; n < 3; n++) expect(await codeOf(client.call(fails('http_503')))).toBe('http_503');
    expect(await codeOf(client.call(ok))).toBe('breaker_open');
    // One statement may be waited for, not one for each call.
    expect(performance.now() - begun).toBeLessThan(20_000);
    await until(async () => (await codeOf(client.call(ok))) === 'ok');
    expect(seen).toEqual(['open', 'half_open', 'ramping']);
    postgres = await startPostgres({ dir, cacheDir, port });
    const back = performance.now();
    const row = openPool({ url, applicationName: 'test' });
    await until(() => seen.at(-1) === 'closed', 5_000);
    process.stdout.write(`Agreed ${Math.round(performance.now() - back)} ms after the store was back.\n`);
    for (let n = 0; n < 3; n++) await codeOf(client.call(fails('http_503')));
    expect(await readBreaker(row, key)).toMatchObject({ state: 'open', epoch: 2 });
    expect(await unlawful(row, key)).toEqual([]);
    await open.close();
    await Promise.all([control.end(), row.end()]);
  } finally {
    await postgres.stop('immediate');
    rmSync(dir, { recursive: true, force: true });
  }
});

it('waits for a store that swallows everything once, for about a second, and finds it again by itself', async () => {
  const gate = await gateTo(scene.url);
  const key = 'http:swallowed';
  const paced = { [key]: { address: 'http://localhost', callsPerSecond: 100, breaker: quick } };
  const worker = await scene.worker('w', paced, { url: gate.url });
  const client = worker.at(key);
  expect(await client.call(ok)).toBe('data');
  gate.set('swallows');
  const begun = performance.now();
  // Each of these needs the store: for a slot, and for its report.
  for (let n = 0; n < 3; n++) await codeOf(client.call(fails('http_503')));
  expect(await codeOf(client.call(ok))).toBe('breaker_open');
  const took = performance.now() - begun;
  process.stdout.write(`Four calls with a store that swallows everything: ${Math.round(took)} ms.\n`);
  expect(took).toBeLessThan(10_000);
  gate.set('open');
  const other = await scene.worker('other', paced);
  for (let n = 0; n < 3; n++) await codeOf(other.at(key).call(fails('http_503')));
  const { epoch } = (await readBreaker(scene.pool, key))!;
  expect(epoch).toBe(2);
  // Only by the row it gets to know the trial of the other and what came of it.
  await until(async () => (await codeOf(other.at(key).call(ok))) === 'ok');
  await until(async () => (await codeOf(client.call(ok))) === 'ok', 5_000);
  expect(await unlawful(scene.pool, key)).toEqual([]);
  await gate.close();
});

it('a worker whose listening connection is killed sees what it missed within five seconds', async () => {
  const key = 'http:unheard';
  const seen: string[] = [];
  const declared = { [key]: { address: 'http://localhost', breaker: { ...quick, cooldownMs: 60_000 } } };
  await scene.worker('deaf', declared, { onTransition: (_, state) => seen.push(state) });
  await scene.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mendflow-breakers' and datname = current_database()`,
  );
  // At once, while nobody can be listening.
  await scene.pool.query(`select mendflow.breaker_report($1, 1, null, 'w', p_fail => 3, p_tail => 3)`, [key]);
  const begun = performance.now();
  await until(() => seen.includes('open'), 5_000);
  process.stdout.write(`Seen ${Math.round(performance.now() - begun)} ms after the connection was killed.\n`);
});

it('what others say on the same channel does nothing', async () => {
  const key = 'http:noise';
  const worker = await scene.worker('w', { [key]: { address: 'http://localhost', breaker: quick } });
  for (const noise of ['', 'no json', '{"k":5}', '{"k":"http:unknown"}', '{"k":["http:noise"]}', 'null'])
    await scene.pool.query(`select pg_notify('mendflow_breaker', $1)`, [noise]);
  await sleep(50);
  for (let n = 0; n < 3; n++) await codeOf(worker.at(key).call(fails('http_503')));
  expect((await readBreaker(scene.pool, key))!.state).toBe('open');
});

it('no notification at all: what happened is seen by the reload', async () => {
  const key = 'http:silent';
  const seen: string[] = [];
  const declared = { [key]: { address: 'http://localhost', breaker: { ...quick, cooldownMs: 60_000 } } };
  await scene.worker('w', declared, { onTransition: (_, state) => seen.push(state) });
  await scene.pool.query(
    `update mendflow.breaker set state = 'open', epoch = 2, open_until = clock_timestamp() + interval '1 minute' where key = $1`,
    [key],
  );
  await until(() => seen.includes('open'), 8_000);
});

it('opens without a store, and is a worker like any other once it is there', async () => {
  const gate = await gateTo(scene.url);
  gate.set('refuses');
  const key = 'http:born-alone';
  const worker = await scene.worker('w', { [key]: { address: 'http://localhost', breaker: quick } }, { url: gate.url });
  for (let n = 0; n < 3; n++) await codeOf(worker.at(key).call(fails('http_503')));
  expect(await codeOf(worker.at(key).call(ok))).toBe('breaker_open');
  gate.set('open');
  await until(async () => (await readBreaker(scene.pool, key)) !== undefined);
  await until(async () => (await codeOf(worker.at(key).call(ok))) === 'ok');
  for (let n = 0; n < 3; n++) await codeOf(worker.at(key).call(fails('http_503')));
  await until(async () => (await breakerEvents(scene.pool, key, 1)).length === 1);
  await gate.close();
});

it('an opened breaker is seen by all workers within 50 ms (median)', async () => {
  const key = 'http:seen';
  const declared = { [key]: { address: 'http://localhost', breaker: { ...quick, cooldownMs: 100, rampMs: 1 } } };
  let told = 0;
  const saw: number[] = [];
  const onTransition = (_: string, state: string): void => {
    if (state === 'open') saw.push(performance.now() - told);
  };
  const first = await scene.worker('first', declared);
  for (let n = 0; n < 4; n++) await scene.worker(`w${n}`, declared, { onTransition });
  for (let round = 0; round < 15; round++) {
    for (let n = 0; n < 2; n++) await codeOf(first.at(key).call(fails('http_503')));
    const before = saw.length;
    // From the moment the last failure is known: its report, the notification and the reading of the row.
    told = performance.now();
    await codeOf(first.at(key).call(fails('http_503')));
    await until(() => saw.length === before + 4);
    await until(async () => (await codeOf(first.at(key).call(ok))) === 'ok');
    await sleep(5);
    await scene.pool.query('select mendflow.breaker_tick($1)', [key]);
    await until(async () => (await codeOf(first.at(key).call(ok))) === 'ok');
  }
  saw.sort((a, b) => a - b);
  const median = saw[Math.floor(saw.length / 2)]!;
  process.stdout.write(
    `An opened breaker is seen after ${median.toFixed(1)} ms (median), ${saw.at(-1)!.toFixed(1)} ms at most, of ${saw.length}.\n`,
  );
  expect(median).toBeLessThan(500);
});
