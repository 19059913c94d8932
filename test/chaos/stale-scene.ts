// What lives here: the scene of the tests about stopped workers: a database, worker processes, runs, and two oracles.
// Invariant: the oracles are the store before the worker was woken, and Temporal's own word about each run.
// Apart from the test so that it reads as the story of its fault.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { queues, runKey, workflowId } from '../../src/model/ids.ts';
import type { RunArgs } from '../../src/model/messages.ts';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { type Ground, openGround, type Servers, sources } from './ground.ts';

const dataDate = '2026-01-01';

/** A run as the ledger has it. */
interface Listed {
  readonly generation: number;
  readonly state: string;
  readonly parks: number;
}

export interface StaleScene {
  readonly pool: Ground['pool'];
  worker(name: string): Promise<WorkerProcess>;
  /** From now on the clocks of all workers are wrong by so much. */
  shiftClocks(ms: number): void;
  start(id: string, how: 'end' | 'ask' | 'wait' | 'call', more?: { force?: boolean }): Promise<WorkflowHandle>;
  /** Waits for the end of the workflow, too. */
  abort(id: string): Promise<void>;
  /** Lets a stage that waits come to its end. */
  go(id: string): void;
  /** Waits until the ledger says so of all these runs. Fails after two minutes with what it says. */
  until(ids: readonly string[], wanted: Partial<Listed>): Promise<void>;
  /** All that the store holds of all runs, but for when parks were looked at. */
  whole(): Promise<unknown>;
  /** Where the ledger and Temporal do not agree, in sentences. */
  violations(): Promise<string[]>;
  close(): Promise<void>;
}

export async function openStaleScene(at: Servers & { readonly apiUrl?: string }): Promise<StaleScene> {
  const ground = await openGround(at, 'stale');
  const { prefix, dir, pool, client } = ground;
  const idOf = (id: string): string => workflowId(prefix, runKey('work', dataDate, id));
  const listed = async (): Promise<ReadonlyMap<string, Listed>> => {
    const { rows } = await pool.query<Listed & { scope: string }>(
      `select scope, generation, state, (select count(*)::int from mendflow.parked_run p where p.run_key = r.key) as parks from mendflow.run r`,
    );
    return new Map(rows.map(({ scope, ...row }) => [scope, row]));
  };
  const clock = join(dir, 'clock');
  return {
    pool,
    shiftClocks: (ms) => writeFileSync(clock, String(ms)),
    worker: (name) =>
      ground.worker(name, {
        args: ['--import', join(import.meta.dirname, 'shifted-clock.mjs'), ...sources],
        project: 'stale-project',
        env: { UV_THREADPOOL_SIZE: '64', API_URL: at.apiUrl ?? '', MENDFLOW_TEST_CLOCK: clock },
      }),
    start: async (id, how, more = {}) => {
      // Done in the ledger is a moment before done in Temporal.
      if (more.force) await client.workflow.getHandle(idOf(id)).result();
      const args: RunArgs = { dataDate, input: { id, how }, scope: id, ...more };
      // A worker that is stopped still holds its polls open, and what the server hands to it is lost until this has passed.
      const options = {
        taskQueue: queues(prefix).work,
        workflowId: idOf(id),
        workflowTaskTimeout: '2 seconds',
      } as const;
      return await client.workflow.start('work', { ...options, args: [args] });
    },
    abort: async (id) => {
      const handle = client.workflow.getHandle(idOf(id));
      await handle.signal('abort', { actor: 'ann', reason: 'test' });
      await handle.result().catch(() => undefined);
    },
    go: (id) => writeFileSync(join(dir, `${id}.go`), ''),
    until: async (ids, wanted) => {
      let left: unknown[] = [];
      for (const endAt = Date.now() + 120_000; Date.now() < endAt; await sleep(200)) {
        const now = await listed();
        left = ids.flatMap((id) => {
          const row = now.get(id);
          const isSo = row && Object.entries(wanted).every(([name, value]) => row[name as keyof Listed] === value);
          return isSo ? [] : [{ id, ...row }];
        });
        if (left.length === 0) return;
      }
      throw new Error(`Not ${JSON.stringify(wanted)} after two minutes: ${JSON.stringify(left)}`);
    },
    whole: async () => {
      const all: Record<string, unknown> = {};
      for (const table of ['run', 'stage_run', 'attempt', 'parked_run', 'decision', 'lease', 'slice', 'chunk']) {
        const { rows } = await pool.query<{ row: unknown }>(
          `select to_jsonb(t) - 'checked_at' as row from mendflow.${table} t order by 1`,
        );
        all[table] = rows.map(({ row }) => row);
      }
      return all;
    },
    violations: async () => {
      const found: string[] = [];
      for (const [id, { state, parks }] of await listed()) {
        const { status } = await client.workflow.getHandle(idOf(id)).describe();
        const open = status.name === 'RUNNING';
        if (open !== ['running', 'parked', 'asking'].includes(state))
          found.push(`${id} is ${state}, and its workflow is ${status.name}`);
        if ((state === 'asking') !== parks > 0) found.push(`${id} is ${state} with ${parks} parks`);
      }
      return found;
    },
    close: () => ground.close(),
  };
}
