// What lives here: many runs of one call each, worker processes, and a server that takes so many calls a second and no more.
// Invariant: the server judges by its own clock and log; workers are processes of the sources as they are, killed by their process ID.
// Apart from the tests so that each reads as the story of its outage.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { queues, runKey, workflowId } from '../../src/model/ids.ts';
import type { RunArgs } from '../../src/model/messages.ts';
import type { WorkerProcess } from '../../src/stack/index.ts';
import type { Seen } from '../support/api.ts';
import { type Ground, openGround, type Servers, sources } from './ground.ts';

const dataDate = '2026-01-01';

export interface Herd {
  readonly pool: Ground['pool'];
  readonly client: Ground['client'];
  /** From now on the server is away, or there and takes so many calls a second. */
  up(isUp: boolean): Promise<void>;
  /** What the server saw since it was asked last. */
  seen(): Promise<readonly Omit<Seen, 'token'>[]>;
  worker(name: string): Promise<WorkerProcess>;
  start(pipeline: string, ids: readonly string[]): Promise<WorkflowHandle[]>;
  /** Stages that wait: for the upstream, or for half a minute where its retry budget is spent. */
  waiting(): Promise<number>;
  /** Runs of the ledger that are done. */
  done(): Promise<number>;
  untilWaiting(n: number, limitMs: number): Promise<void>;
  untilDone(n: number, limitMs: number): Promise<void>;
  close(): Promise<void>;
}

interface Server {
  readonly url: string;
  /** One order at a time; the answer's only value. */
  ask(order: object): Promise<unknown>;
  close(): void;
}

async function startServer(callsPerSecond: number): Promise<Server> {
  const child = fork(join(import.meta.dirname, 'herd-server.mjs'), [String(callsPerSecond)], { execArgv: [] });
  const answer = async (): Promise<unknown> => {
    const [message] = (await once(child, 'message')) as [object];
    return (Object.values(message) as unknown[])[0];
  };
  const port = await answer();
  return {
    url: `http://127.0.0.1:${String(port)}`,
    ask: (order) => {
      const told = answer();
      child.send(order);
      return told;
    },
    close: () => void child.kill(),
  };
}

export async function openHerd(at: Servers, callsPerSecond: number): Promise<Herd> {
  const server = await startServer(callsPerSecond);
  const ground = await openGround(at, 'herd');
  const { prefix, pool, client } = ground;
  const counting = async (text: string): Promise<number> => (await pool.query<{ n: number }>(text)).rows[0]!.n;
  const herd: Herd = {
    pool,
    client,
    up: async (up) => void (await server.ask({ up })),
    seen: async () => (await server.ask({})) as Awaited<ReturnType<Herd['seen']>>,
    worker: (name) =>
      ground.worker(name, {
        args: sources,
        project: 'herd-project',
        env: { UV_THREADPOOL_SIZE: '64', API_URL: server.url, API_CALLS_PER_SECOND: String(callsPerSecond) },
      }),
    start: async (pipeline, ids) => {
      const handles: WorkflowHandle[] = [];
      for (let from = 0; from < ids.length; from += 20)
        handles.push(
          ...(await Promise.all(
            ids.slice(from, from + 20).map((id) => {
              const args: RunArgs = { dataDate, input: { id }, scope: id };
              return client.workflow.start(pipeline, {
                taskQueue: queues(prefix).work,
                workflowId: workflowId(prefix, runKey(pipeline, dataDate, id)),
                args: [args],
                // What a killed worker had in hand is given to another after this.
                workflowTaskTimeout: '2 seconds',
              });
            }),
          )),
        );
      return handles;
    },
    waiting: () => counting(`select count(*)::int as n from mendflow.parked_run where until <> 'decision'`),
    done: () => counting(`select count(*)::int as n from mendflow.run where state = 'done'`),
    untilWaiting: (n, limitMs) => until(() => herd.waiting(), n, limitMs),
    untilDone: (n, limitMs) => until(() => herd.done(), n, limitMs),
    close: async () => {
      await ground.close();
      server.close();
    },
  };
  return herd;
}

/** Waits until `count()` is at least `n`. */
export async function until(count: () => Promise<number>, n: number, limitMs: number): Promise<void> {
  const endAt = Date.now() + limitMs;
  let now = 0;
  while ((now = await count()) < n) {
    if (Date.now() > endAt) throw new Error(`${now} of ${n} after ${limitMs} ms.`);
    await sleep(50);
  }
}

export const names = (prefix: string, n: number): string[] =>
  Array.from({ length: n }, (_none, index) => `${prefix}${index + 1}`);
