// What lives here: the scene of the chaos tests at the level of runs: a database, worker processes, a generated file and its oracle.
// Invariant: the oracle is the generator's own file of clean rows; the table has to yield it byte for byte, so nothing can be lost, doubled or altered.
// Apart from the tests so that each reads as the story of its fault.
import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { generate, type Generated } from '../../bench/generate.ts';
import { queues, runKey, scopeOf, workflowId } from '../../src/model/ids.ts';
import type { RunArgs, RunSummary } from '../../src/model/messages.ts';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { balance } from '../../src/store/balance.ts';
import { built, type Ground, openGround, type Servers } from './ground.ts';
import { logIngest } from './run-project/pipelines.ts';

const dataDate = '2026-01-01';

/** The file that all scenarios of a test file load, under another name each. */
export interface Truth extends Generated {
  readonly dir: string;
  readonly raw: string;
  readonly poisoned: number;
  remove(): Promise<void>;
}

export function makeTruth(lines: number): Truth {
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-runs-'));
  const raw = join(dir, 'raw.log');
  const made = generate({ format: 'plain', lines, raw, clean: join(dir, 'clean.tsv'), dataDate });
  const poisoned = Object.values(made.poison).reduce((sum, one) => sum + one, 0);
  return { ...made, dir, raw, poisoned, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** One run of log-ingest over one file. */
export interface Ingest {
  readonly run: string;
  readonly path: string;
  /** Ends within this time, two minutes if it is not given, or the test fails with what is known: a database met while it starts up is left alone for up to 45 s. */
  done(withinMs?: number): Promise<RunSummary>;
}

export interface Scene {
  readonly pool: Ground['pool'];
  /** Starts a worker; with a gate it is ready and does not poll until `openGate(name)`. */
  worker(name: string, settings?: { failpoints?: string; gated?: boolean }): Promise<WorkerProcess>;
  openGate(name: string): void;
  /** Starts a run over a file of its own. `arm` makes one worker die or stop at a point of it. */
  ingest(name: string, arm?: { worker: WorkerProcess; failpoints: string }): Promise<Ingest>;
  /** Starts a run over what is there already. */
  start(path: string): Promise<Ingest>;
  /** Events in the history of each execution of the run. */
  events(run: string): Promise<number[]>;
  /** Chunks committed so far for the run. */
  chunks(run: string): Promise<number>;
  /** Everything that is not as promised, in sentences. */
  violations(ingest: Ingest): Promise<string[]>;
  /** Rows that were written and rolled back, and the size of the biggest chunk: a sequence counts rows whether they are committed or not. */
  redone(): Promise<{ rows: number; chunkRowsMax: number }>;
  close(): Promise<void>;
}

/** A scene on a database that exists and is empty. Workers run what is built: the project of run-project/ with its short waits, or the package's own pipelines. */
export async function openScene(
  truth: Truth,
  at: Servers & { readonly project?: 'quick' | 'shipped' },
): Promise<Scene> {
  const ground = await openGround(at, 'chaos', truth.dir);
  const { prefix, dir, pool, client } = ground;
  // A sequence does not roll back: it tells how many rows were written, committed or not.
  await pool.query(
    `create sequence written; alter table log_entries add column written bigint default nextval('written')`,
  );
  const start = async (path: string): Promise<Ingest> => {
    const input = { path, format: 'plain' };
    const args: RunArgs = { dataDate, input, scope: scopeOf(logIngest.spec, input) };
    const run = runKey('log-ingest', dataDate, args.scope);
    const handle = await client.workflow.start('log-ingest', {
      taskQueue: queues(prefix).work,
      workflowId: workflowId(prefix, run),
      args: [args],
      // A worker that is stopped still holds its polls open, and what the server hands to it is lost until this has passed.
      workflowTaskTimeout: '2 seconds',
    });
    return { run, path, done: (withinMs = 120_000) => ended(handle, withinMs) };
  };
  return {
    pool,
    worker: (name, { failpoints = '', gated = false } = {}) =>
      ground.worker(name, {
        args: built,
        project: at.project === 'shipped' ? dir : 'run-project',
        env: {
          MENDFLOW_FAILPOINTS: failpoints,
          ...(gated ? { MENDFLOW_TEST_GATE: join(dir, `${name}.gate`) } : {}),
        },
      }),
    openGate: (name) => writeFileSync(join(dir, `${name}.gate`), ''),
    ingest: async (name, arm) => {
      const path = join(dir, `${name}.log`);
      copyFileSync(truth.raw, path);
      if (arm) writeFileSync(`${path}.arm`, `${arm.worker.pid} ${arm.failpoints}`);
      return start(path);
    },
    start,
    events: async (run) => {
      const lengths: number[] = [];
      for await (const one of client.workflow.list({ query: `WorkflowId = "${workflowId(prefix, run)}"` }))
        lengths.push(one.historyLength ?? 0);
      return lengths;
    },
    chunks: (run) => chunksOf(pool, run),
    violations: ({ run, path }) => violationsOf(pool, truth, run, path),
    redone: () => redoneIn(pool),
    close: () => ground.close(),
  };
}

async function ended(handle: WorkflowHandle, withinMs: number): Promise<RunSummary> {
  const patience = sleep(withinMs, undefined, { ref: false }).then(async () => {
    const { raw } = await handle.describe();
    const pending = JSON.stringify(raw.pendingActivities ?? []);
    throw new Error(`Run ${handle.workflowId} did not end within ${withinMs / 1000} s. Pending: ${pending}`);
  });
  return (await Promise.race([handle.result(), patience])) as RunSummary;
}

type Pool = Scene['pool'];

async function chunksOf(pool: Pool, run: string): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    'select count(*)::int as n from mendflow.chunk where run_key = $1 and rows_out > 0',
    [run],
  );
  return rows[0]!.n;
}

async function violationsOf(pool: Pool, truth: Truth, run: string, path: string): Promise<string[]> {
  const found: string[] = [];
  const { rows: sources } = await pool.query<{ id: string }>(
    `select distinct source_id as id from mendflow.slice where run_key = $1`,
    [run],
  );
  if (sources.length !== 1) return [`${sources.length} sources were planned for ${basename(path)} instead of 1`];
  const source = sources[0]!.id;
  const { rows } = await pool.query<{ n: number; sha: string | null }>(
    `select count(*)::int as n, encode(sha256(convert_to(string_agg(concat_ws(E'\\t', '1', "offset", line_no,
        to_char(ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), severity, module, message, coalesce(attributes::text, '\\N'), data_date, generation) || E'\\n',
        '' order by "offset"), 'UTF8')), 'hex') as sha from log_entries where source_id = $1`,
    [source],
  );
  if (rows[0]!.n !== truth.rows) found.push(`${rows[0]!.n} rows instead of ${truth.rows}`);
  if (rows[0]!.sha !== truth.cleanSha256) found.push('the rows are not those of the oracle');
  const { rows: letters } = await pool.query<{ n: number; samples: number }>(
    'select count(*)::int as n, count(*) filter (where sample)::int as samples from mendflow.dead_letter where run_key = $1',
    [run],
  );
  if (letters[0]!.n !== truth.poisoned) found.push(`${letters[0]!.n} letters instead of ${truth.poisoned}`);
  if (letters[0]!.samples > 0) found.push(`${letters[0]!.samples} letters are marked as samples`);
  const bins = await balance(pool, run);
  found.push(...bins.faults);
  const want = { loaded: truth.rows, quarantined: truth.poisoned, duplicate: 0, skipped: 0 };
  for (const [bin, count] of Object.entries(want))
    if (bins[bin as keyof typeof want] !== count)
      found.push(`${bin} is ${bins[bin as keyof typeof want]} instead of ${count}`);
  const { rows: runs } = await pool.query<{ state: string }>('select state from mendflow.run where key = $1', [run]);
  if (runs[0]?.state !== 'done') found.push(`the run is ${runs[0]?.state ?? 'not in the ledger'} instead of done`);
  return found;
}

async function redoneIn(pool: Pool): Promise<{ rows: number; chunkRowsMax: number }> {
  const { rows } = await pool.query<{ rows: number; chunkRowsMax: number }>(
    `select (select case when is_called then last_value else 0 end from written)::int - (select count(*) from log_entries)::int as rows,
       coalesce((select max(rows_out) from mendflow.chunk), 0)::int as "chunkRowsMax"`,
  );
  return rows[0]!;
}
