// What lives here: a real worker on the real server with stages that follow a script.
// Invariant: each engine has a database, a queue and workflow IDs of its own; scripts are functions, so a test can wait, count and fail at will.
// Apart because every engine test begins with it.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataConverter } from '@temporalio/common';
import * as temporal from '@temporalio/client';
import { Client, type WorkflowHandle, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { NativeConnection, type WorkerInterceptors } from '@temporalio/worker';
import type { Pool } from 'pg';
import { inject } from 'vitest';
import { callAgain } from '../../src/connect.ts';
import { type OpenUpstreams, openUpstreams } from '../../src/connectors/upstream.ts';
import type { Pace } from '../../src/engine/pace.ts';
import { pokeRecovery } from '../../src/engine/recoveries.ts';
import { createWorkers, reconcileSearchAttributes, type Served } from '../../src/engine/worker.ts';
import { CodedError, isCode } from '../../src/model/failure.ts';
import { queues, runKey, workflowId } from '../../src/model/ids.ts';
import type { Decision, Outcome, RunArgs, RunSummary } from '../../src/model/messages.ts';
import type { Upstreams } from '../../src/model/upstream.ts';
import { openPool } from '../../src/store/db.ts';
import { bundleOnce } from './bundle.ts';
import { migratedDatabase } from './database.ts';
import { quietRuntime } from './runtime.ts';

/** What a stage does at its nth call, from 1: a code to throw, or a value to return. */
export type Script = (call: number, input: unknown) => unknown;

/** What an engine has beside its pipelines. */
export interface EngineOptions {
  readonly dataConverter?: DataConverter;
  /** Opened by each worker for itself, under a name of its own. */
  readonly upstreams?: Upstreams;
  readonly pace?: Partial<Pace>;
  readonly interceptors?: WorkerInterceptors;
  /** The way workers take to the control store, given its address. Default: straight. */
  readonly through?: (url: string) => Promise<string>;
  /** Where secrets are looked up. Default: there are none. */
  readonly secrets?: (name: string) => string | undefined;
}

export interface Engine {
  readonly client: Client;
  readonly pool: Pool;
  readonly prefix: string;
  readonly calls: string[];
  script(stage: string, script: Script): void;
  startWorker(workflows?: string): Promise<{ stop(): Promise<void> }>;
  start(pipeline: string, more?: Partial<RunArgs>): Promise<WorkflowHandleWithFirstExecutionRunId>;
  result(handle: WorkflowHandle): Promise<RunSummary>;
  /** Waits until the ledger shows the stage parked, and returns its row. */
  parked(
    stage: string,
    run?: string,
  ): Promise<{ token: string; until: string; code: string; attempts: number; wake_at: Date | null }>;
  decide(handle: WorkflowHandle, decision: Decision): Promise<Outcome>;
  rows<T>(sql: string, values?: unknown[]): Promise<T[]>;
  close(): Promise<void>;
}

export const throwCode = (code: string, nextDelayMs?: number): never => {
  if (!isCode(code)) throw new TypeError(code);
  throw new CodedError(code, `${code} from the script.`, nextDelayMs === undefined ? {} : { nextDelayMs });
};

/** Codes and values in order; the last one repeats. */
export const outcomes =
  (...list: readonly unknown[]): Script =>
  (call) => {
    const one = list[Math.min(call, list.length) - 1];
    return typeof one === 'string' && isCode(one) ? throwCode(one) : one;
  };

export async function openEngine(
  served: (stage: (name: string) => (input: never) => Promise<never>, upstreams: OpenUpstreams) => readonly Served[],
  options: EngineOptions = {},
): Promise<Engine> {
  const { dataConverter, pace, interceptors } = options;
  const declared = options.upstreams ?? {};
  quietRuntime();
  const database = await migratedDatabase();
  const pool = openPool({ url: database.url, applicationName: 'test' }, 10);
  const address = inject('temporalAddress');
  // Some tests read histories of many megabytes.
  const connection = await temporal.Connection.connect({
    address,
    channelArgs: { 'grpc.max_receive_message_length': -1 },
    interceptors: callAgain(temporal),
  });
  await reconcileSearchAttributes(connection, 'default');
  const client = new Client({ connection, ...(dataConverter ? { dataConverter } : {}) });
  const prefix = `t${randomBytes(4).toString('hex')}`;
  const scripts = new Map<string, Script>();
  const counts = new Map<string, number>();
  const calls: string[] = [];
  const stageCode =
    (name: string) =>
    async (input: never): Promise<never> => {
      const call = (counts.get(name) ?? 0) + 1;
      counts.set(name, call);
      calls.push(name);
      const script = scripts.get(name);
      return (await (script ? script(call, input) : `${name} ok`)) as never;
    };
  const workersUrl = (await options.through?.(database.url)) ?? database.url;
  const control = options.through ? openPool({ url: workersUrl, applicationName: 'control' }, 10) : pool;
  const workers: { stop(): Promise<void> }[] = [];

  const startWorker = async (workflows = './test/engine/pipelines.ts'): Promise<{ stop(): Promise<void> }> => {
    const file = new URL(`../../${workflows}`, import.meta.url);
    const native = await NativeConnection.connect({ address });
    const open = await openUpstreams(declared, {
      control,
      databaseUrl: workersUrl,
      worker: `worker-${workers.length + 1}`,
      readSecret: options.secrets ?? (() => undefined),
      onTransition: (key, state) => void pokeRecovery(client, { prefix }, key, state).catch(() => undefined),
    });
    const both = await createWorkers({
      connection: native,
      namespace: 'default',
      prefix,
      served: served(stageCode, open),
      upstreams: { declared, open },
      ...(pace ? { pace } : {}),
      ...(interceptors ? { interceptors } : {}),
      workflows: await bundleOnce(file),
      control,
      ...(dataConverter ? { dataConverter } : {}),
    });
    const running = both.run();
    let stopped: Promise<void> | undefined;
    const worker = {
      stop: () =>
        (stopped ??= (async () => {
          both.shutdown();
          await running;
          await open.close();
          await native.close();
        })()),
    };
    workers.push(worker);
    return worker;
  };

  const rows = async <T>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await pool.query(sql, values)).rows as T[];

  return {
    client,
    pool,
    prefix,
    calls,
    rows,
    startWorker,
    script: (stage, script) => void scripts.set(stage, script),
    start: (pipeline, more = {}) => {
      const args: RunArgs = { dataDate: '2026-11-21', input: {}, scope: '', ...more };
      return client.workflow.start(pipeline, {
        taskQueue: queues(prefix).work,
        workflowId: workflowId(prefix, runKey(pipeline, args.dataDate, args.scope)),
        args: [args],
      });
    },
    result: async (handle) => {
      // A run that asks would otherwise be waited for in silence until the test's own limit.
      const patience = sleep(25_000).then(async () => {
        throw new Error(
          `The run did not end within 25 s: ${JSON.stringify(await rows('select run_key, stage, until, code, text from mendflow.parked_run'))}; calls: ${calls.join(' ')}`,
        );
      });
      return await Promise.race([handle.result() as Promise<RunSummary>, patience]);
    },
    parked: async (stage, run) => {
      for (let tries = 0; tries < 400; tries++) {
        const [row] = await rows<Awaited<ReturnType<Engine['parked']>>>(
          'select token, until, code, attempts, wake_at from mendflow.parked_run where stage = $1 and ($2::text is null or run_key = $2)',
          [stage, run ?? null],
        );
        if (row) return row;
        await sleep(50);
      }
      throw new Error(`Stage ${stage} did not park within 20 s; calls: ${calls.join(' ')}`);
    },
    decide: (handle, decision) => handle.executeUpdate('decide', { args: [decision] }) as Promise<Outcome>,
    close: async () => {
      await Promise.allSettled(workers.map((worker) => worker.stop()));
      await connection.close();
      if (control !== pool) await control.end();
      await pool.end();
      await database.drop();
    },
  };
}
