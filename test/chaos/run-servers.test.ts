import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTemporalCli, startPostgres, startTemporal, type WorkerProcess } from '../../src/stack/index.ts';
import { type Ingest, makeTruth, openScene, type Scene, type Truth } from './run-scene.ts';

type RunningPostgres = Awaited<ReturnType<typeof startPostgres>>;
type RunningTemporal = Awaited<ReturnType<typeof startTemporal>>;

const LANES = 2;
/** After a crash a sequence goes on at most so much later. */
const SEQUENCE_AHEAD = 32;
const repository = join(import.meta.dirname, '..', '..');

let truth: Truth;
let dir: string;
let postgres: RunningPostgres;
let temporal: RunningTemporal;
let at: Scene;
let worker: WorkerProcess;

const LINES = 120_000;

const startDatabase = (): Promise<RunningPostgres> => startPostgres({ dir, cacheDir: join(dir, 'cache') });
const startServer = async (): Promise<RunningTemporal> => {
  const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache');
  const cli = await findTemporalCli({ explicit: process.env['TEMPORAL_CLI'], cacheDir });
  return await startTemporal({ dir, cli: cli.path, headless: true });
};

beforeAll(async () => {
  truth = makeTruth(LINES);
  dir = mkdtempSync(join(tmpdir(), 'mendflow-servers-'));
  chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
  [postgres, temporal] = await Promise.all([startDatabase(), startServer()]);
  at = await openScene(truth, { databaseUrl: postgres.url, temporalAddress: temporal.address });
  worker = await at.worker('worker');
}, 300_000);
afterAll(async () => {
  await at?.close();
  await Promise.allSettled([postgres?.stop('immediate'), temporal?.stop()]);
  await truth?.remove();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

async function untilChunks(run: Ingest, count: number): Promise<void> {
  for (let tries = 0; tries < 4_000; tries++) {
    if ((await at.chunks(run.run).catch(() => 0)) >= count) return;
    await sleep(5);
  }
  throw new Error(`No ${count} chunks were committed within 20 s.`);
}

/** Without a server the segment in hand goes on; on a busy machine it may have been through before anybody could ask. */
async function untilMoreOrAll(run: Ingest, than: number): Promise<void> {
  const { rows } = await at.pool.query<{ read: number }>(
    'select coalesce(sum(read), 0)::int as read from mendflow.chunk where run_key = $1',
    [run.run],
  );
  if (rows[0]!.read < LINES) await untilChunks(run, than + 1);
}

async function endsRight(run: Ingest, writtenBefore: number): Promise<void> {
  expect(await run.done()).toMatchObject({ state: 'done', balanced: true, decisions: 0, loaded: truth.rows });
  expect(await at.violations(run)).toEqual([]);
  const { rows, chunkRowsMax } = await at.redone();
  expect(rows - writtenBefore).toBeLessThanOrEqual(LANES * chunkRowsMax + SEQUENCE_AHEAD);
  expect(worker.isAlive()).toBe(true);
}

describe('log-ingest in mid-load', () => {
  it('survives Postgres stopped with -m immediate: the same worker goes on when it is back, and asks nobody', async () => {
    const before = await at.redone();
    const run = await at.ingest('postgres');
    await untilChunks(run, 1);
    await postgres.stop('immediate');
    expect(worker.isAlive()).toBe(true);
    postgres = await startDatabase();
    await endsRight(run, before.rows);
  });

  it('survives kill -9 of the Temporal server: what was in flight commits meanwhile, and the run ends when it is back', async () => {
    const before = await at.redone();
    const run = await at.ingest('temporal');
    await untilChunks(run, 1);
    process.kill(temporal.pid, 'SIGKILL');
    const then = await at.chunks(run.run);
    await untilMoreOrAll(run, then);
    await sleep(2_000);
    temporal = await startServer();
    await endsRight(run, before.rows);
  });
});
