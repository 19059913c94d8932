// What is promised here: a folder of thousands of files ends on two workers, one of which is killed; histories stay short, memory flat, and another run ends meanwhile.
// By hand: MENDFLOW_TEST_FILES=20000 npx vitest run --config vitest.long.config.ts test/chaos/run-folder.test.ts
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setInterval as every } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { freshDatabase } from '../support/database.ts';
import { makeTruth, openScene, type Scene, type Truth } from './run-scene.ts';

const FILES = Number(process.env['MENDFLOW_TEST_FILES'] ?? 2_000);
const LINES = 3;
/** Temporal warns from 10,240 events on; the run is to stay far below. */
const EVENTS_MAX = 1_000;

let database: Awaited<ReturnType<typeof freshDatabase>>;
let truth: Truth;
let scene: Scene;
beforeAll(async () => {
  database = await freshDatabase();
  truth = makeTruth(3_000);
  const at = { databaseUrl: database.url, temporalAddress: inject('temporalAddress') };
  scene = await openScene(truth, { ...at, project: 'shipped' });
});
afterAll(async () => {
  await scene?.close();
  await database?.drop();
  await truth?.remove();
});

/** Megabytes that a process holds; 0 when it has gone. */
function megabytesOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

const loaded = async (): Promise<{ rows: number; different: number }> => {
  const { rows } = await scene.pool.query<{ rows: number; different: number }>(
    `select count(*)::int as rows, count(distinct message)::int as different from log_entries where module = 'folder'`,
  );
  return rows[0]!;
};

/** How long another run takes, in milliseconds. */
async function neighbour(name: string): Promise<number> {
  const from = performance.now();
  await (await scene.ingest(name)).done();
  return performance.now() - from;
}

it(`of ${FILES} files`, { timeout: 3_600_000 }, async () => {
  const folder = join(truth.dir, 'folder');
  mkdirSync(folder);
  for (let file = 0; file < FILES; file++) {
    const lines = Array.from({ length: LINES }, (_, at) => `2026-01-01T00:00:0${at}Z INFO [folder] ${file}:${at}\n`);
    writeFileSync(join(folder, `${file}.log`), lines.join(''));
  }
  const workers: WorkerProcess[] = [await scene.worker('first'), await scene.worker('second')];
  await neighbour('warm');
  const calm = [await neighbour('calm-1'), await neighbour('calm-2'), await neighbour('calm-3')];

  const peaks: number[] = [];
  const sampling = every(() => peaks.push(Math.max(...workers.map(({ pid }) => megabytesOf(pid)))), 1_000);
  const from = performance.now();
  const run = await scene.start(folder);
  const ended = run.done(3_000_000);
  const busy: number[] = [];
  for (let n = 0; n < 3; n++) busy.push(await neighbour(`busy-${n}`));
  while ((await loaded()).rows < (FILES * LINES) / 2) await sleep(200);
  await workers[0]!.kill();
  workers[0] = await scene.worker('third');
  const summary = await ended;
  clearInterval(sampling);

  expect(summary).toMatchObject({ state: 'done', read: FILES * LINES, loaded: FILES * LINES, balanced: true });
  expect(await loaded()).toEqual({ rows: FILES * LINES, different: FILES * LINES });
  const events = await scene.events(run.run);
  expect(Math.max(...events)).toBeLessThan(EVENTS_MAX);
  const half = Math.floor(peaks.length / 2);
  const [early, late] = [Math.max(...peaks.slice(0, half)), Math.max(...peaks.slice(half))];
  expect(late).toBeLessThan(1.5 * early);
  const mid = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
  console.log(
    `${FILES} files in ${((performance.now() - from) / 1000).toFixed(0)} s, ${events.length} executions of at most ${Math.max(...events)} events, at most ${early.toFixed(0)} MB in the first half and ${late.toFixed(0)} in the second, another run ${mid(calm).toFixed(0)} ms before and ${mid(busy).toFixed(0)} beside it (${(mid(busy) / mid(calm)).toFixed(2)})`,
  );
});
