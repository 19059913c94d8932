// What lives here: an engine whose one upstream is the server of a test.
// Invariant: real breakers in the database, real calls, real workflows; only the figures are short.
// Apart because every test about parks and recovery begins with it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { WorkerInterceptors } from '@temporalio/worker';
import type { Pace } from '../../src/engine/pace.ts';
import { serve } from '../../src/engine/worker.ts';
import { breakerId } from '../../src/model/ids.ts';
import type { Upstream } from '../../src/model/upstream.ts';
import { type BreakerRow, readBreaker } from '../../src/store/breakers.ts';
import { call, due } from '../engine/pipelines-outage.ts';
import { type Api, startApi } from './api.ts';
import { asking } from './asking.ts';
import { type Engine, openEngine } from './engine.ts';

/** Trips at three failures in a row, tries again after most of a second. */
export const quickBreaker = { consecutive: 3, workersMin: 1, cooldownMs: 700, cooldownMaxMs: 1_500, rampMs: 500 };
/** Looks often enough for a test, and seldom enough to tell a signal from a look. */
export const quickPace: Partial<Pace> = {
  tickMaxMs: 1_000,
  tellAgainMs: 1_500,
  unaskedMs: 1_000,
  lingerMs: 300,
  sweepMs: 1_000,
};

export const outageWorkflows = './test/engine/pipelines-outage.ts';

export interface Outage {
  readonly engine: Engine;
  readonly api: Api;
  startWorker(): Promise<{ stop(): Promise<void> }>;
  /** Starts runs `<prefix>1` to `<prefix>n` of the pipeline `call`. */
  runs(n: number, prefix: string, pipeline?: string): Promise<WorkflowHandle[]>;
  breaker(): Promise<BreakerRow>;
  /** Rows of stages that wait. */
  parks(): Promise<
    {
      run_key: string;
      until: string;
      token: string;
      code: string;
      attempts: number;
      stage: string;
      workflow_id: string;
    }[]
  >;
  /** Waits until so many stages wait for the upstream. */
  parked(n: number, until?: string): Promise<void>;
  readonly recovery: () => WorkflowHandle;
  close(): Promise<void>;
}

export async function openOutage(
  more: {
    upstream?: Partial<Upstream>;
    pace?: Partial<Pace>;
    interceptors?: WorkerInterceptors;
    secrets?: (name: string) => string | undefined;
    latencyMs?: number;
    through?: (url: string) => Promise<string>;
  } = {},
): Promise<Outage> {
  const api = await startApi(200, more.latencyMs);
  const engine = await openEngine(
    (_stage, upstreams) => [serve(call, asking(upstreams)), serve(due, asking(upstreams))],
    {
      upstreams: {
        'http:api': { address: api.url, timeout: '2 seconds', breaker: quickBreaker, ...more.upstream },
      },
      pace: { ...quickPace, ...more.pace },
      ...(more.interceptors ? { interceptors: more.interceptors } : {}),
      ...(more.through ? { through: more.through } : {}),
      ...(more.secrets ? { secrets: more.secrets } : {}),
    },
  );
  const parks: Outage['parks'] = () =>
    engine.rows(
      'select run_key, workflow_id, stage, until, token, code, attempts from mendflow.parked_run order by run_key',
    );
  return {
    engine,
    api,
    parks,
    startWorker: () => engine.startWorker(outageWorkflows),
    runs: (n, prefix, pipeline = 'call') =>
      Promise.all(
        Array.from({ length: n }, (_none, index) => {
          const id = `${prefix}${index + 1}`;
          return engine.start(pipeline, { input: { id }, scope: id });
        }),
      ),
    breaker: async () => (await readBreaker(engine.pool, 'http:api'))!,
    parked: async (n, until = 'upstream') => {
      let found = 0;
      for (let tries = 0; tries < 600; tries++) {
        found = (await parks()).filter((park) => park.until === until).length;
        if (found === n) return;
        await sleep(50);
      }
      throw new Error(
        `${found} stages wait until ${until} instead of ${n}: ${JSON.stringify((await parks()).slice(0, 3))}`,
      );
    },
    recovery: () => engine.client.workflow.getHandle(breakerId(engine.prefix, 'http:api')),
    close: async () => {
      await engine.close();
      await api.close();
    },
  };
}
