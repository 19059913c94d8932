// What lives here: the scene of the daily-report chaos tests: a database, the demo upstream, worker processes and an oracle from the file.
// Invariant: the oracle never passes through the pipeline; workers are processes of their own, so kill -9 is a real one.
// Apart from the tests so that each reads as the story of its fault.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { type DemoUpstream, startDemoUpstream } from '../../demo/upstream/upstream.ts';
import { queues, runKey, workflowId } from '../../src/model/ids.ts';
import type { RunArgs, RunSummary } from '../../src/model/messages.ts';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { balance } from '../../src/store/balance.ts';
import { metricsOf, rawOf } from '../daily-report/scene.ts';
import { type Ground, openGround, type Servers, sources } from './ground.ts';

/** A database that is met while it starts up is left alone for up to 45 s. */
const PATIENCE_MS = 120_000;

export interface DailyChaos {
  readonly pool: Ground['pool'];
  readonly upstream: DemoUpstream;
  /** Starts a worker; with a gate it is ready and does not poll until `openGate(name)`. */
  worker(name: string, settings?: { gated?: boolean }): Promise<WorkerProcess>;
  openGate(name: string): void;
  /** Starts the date, again if it is done. `arm` makes one worker die at a point of one stage. */
  start(dataDate: string, arm?: { worker: WorkerProcess; stage: string; failpoints: string }): Promise<WorkflowHandle>;
  done(handle: WorkflowHandle): Promise<RunSummary>;
  /** Everything that is not as the file has it, in sentences. */
  violations(dataDate: string): Promise<string[]>;
  rows<T>(sql: string, values?: unknown[]): Promise<T[]>;
  close(): Promise<void>;
}

export async function openDaily(at: Servers): Promise<DailyChaos> {
  const ground = await openGround(at, 'daily');
  const { prefix, dir, pool, client } = ground;
  const upstream = await startDemoUpstream();
  const rows = async <T>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await pool.query(sql, values)).rows as T[];
  return {
    pool,
    upstream,
    rows,
    worker: (name, { gated = false } = {}) =>
      ground.worker(name, {
        args: sources,
        project: 'daily-project',
        env: {
          MENDFLOW_MAIN_API: upstream.address,
          ...(gated ? { MENDFLOW_TEST_GATE: join(dir, `${name}.gate`) } : {}),
        },
      }),
    openGate: (name) => writeFileSync(join(dir, `${name}.gate`), ''),
    start: async (dataDate, arm) => {
      const order = join(dir, `${dataDate}.arm`);
      writeFileSync(order, arm ? `${arm.worker.pid} ${arm.stage} ${arm.failpoints}` : '');
      const args: RunArgs = { dataDate, input: {}, scope: '', force: true };
      return await client.workflow.start('daily-report', {
        taskQueue: queues(prefix).work,
        workflowId: workflowId(prefix, runKey('daily-report', dataDate, '')),
        args: [args],
        // What the server hands to a worker that died is lost until this has passed.
        workflowTaskTimeout: '2 seconds',
      });
    },
    done: (handle) => ended(handle, rows),
    violations: (dataDate) => violationsOf(pool, dir, dataDate),
    close: async () => {
      await ground.close();
      await upstream.stop();
    },
  };
}

async function ended(handle: WorkflowHandle, rows: DailyChaos['rows']): Promise<RunSummary> {
  const patience = sleep(PATIENCE_MS, undefined, { ref: false }).then(async () => {
    const parked = await rows('select run_key, stage, until, code, text from mendflow.parked_run');
    throw new Error(`The run did not end within ${PATIENCE_MS / 1_000} s: ${JSON.stringify(parked)}`);
  });
  return (await Promise.race([handle.result(), patience])) as RunSummary;
}

async function violationsOf(pool: DailyChaos['pool'], dir: string, dataDate: string): Promise<string[]> {
  const found: string[] = [];
  const want = rawOf(dataDate);
  const { rows: quakes } = await pool.query<{ id: string; magnitude: number }>(
    'select id, magnitude from quakes where data_date = $1 order by id',
    [dataDate],
  );
  const oracle = want
    .map(({ id, properties }) => `${id} ${properties.mag}`)
    .toSorted()
    .join('\n');
  const rows = quakes
    .map(({ id, magnitude }) => `${id} ${magnitude}`)
    .toSorted()
    .join('\n');
  if (rows !== oracle) found.push(`${quakes.length} quakes are not the ${want.length} of the file`);
  const { rows: metrics } = await pool.query<{ id: string; value: number }>(
    'select metric_id as id, value from daily_metrics where date = $1 order by 1',
    [dataDate],
  );
  const sorted = (figures: Record<string, number>): string =>
    JSON.stringify(Object.entries(figures).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const figures = Object.fromEntries(metrics.map(({ id, value }) => [id, value]));
  if (sorted(figures) !== sorted(metricsOf(dataDate))) found.push('the figures are not those of the file');
  const bins = await balance(pool, runKey('daily-report', dataDate, ''));
  found.push(...bins.faults);
  if (bins.read !== want.length) found.push(`${bins.read} records were read instead of ${want.length}`);
  if (bins.loaded + bins.duplicate !== want.length)
    found.push(`${bins.loaded} loaded and ${bins.duplicate} there already are not ${want.length}`);
  const page = join(dir, 'reports', `daily-report-${dataDate}.html`);
  if (!existsSync(page) || !readFileSync(page, 'utf8').endsWith('</html>\n')) found.push('the page is not whole');
  const drafts = readdirSync(join(dir, 'reports')).filter((name) => name.endsWith('.part'));
  if (drafts.length > 0) found.push(`${drafts.join(', ')} was left beside the pages`);
  return found;
}
