// What lives here: daily-report on a real Temporal server, a real worker and the demo upstream.
// Invariant: the pipeline's own body, stages and activities; only its waits and the figures of its breakers are short.
// Apart because what the founding documents promise of daily_report is promised of whole runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { type DemoUpstream, startDemoUpstream } from '../../demo/upstream/upstream.ts';
import { dailyReportActivities } from '../../src/activities/daily-report.ts';
import { serve } from '../../src/engine/worker.ts';
import type { RunSummary } from '../../src/model/messages.ts';
import { ownUpstreams } from '../../src/upstreams.ts';
import { dailyReport } from '../chaos/daily-project/pipelines.ts';
import { sealer } from '../flow/memory.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { quickPace } from '../support/outage.ts';

export interface DailyEngine {
  readonly engine: Engine;
  readonly upstream: DemoUpstream;
  readonly reportsDir: string;
  /** Calls of activities' code by stage, in order. */
  readonly calls: string[];
  start(dataDate: string, force?: boolean): Promise<WorkflowHandle>;
  /** Starts a date and waits for its end. */
  run(dataDate: string, force?: boolean): Promise<RunSummary>;
  close(): Promise<void>;
}

export async function openDailyEngine(): Promise<DailyEngine> {
  const upstream = await startDemoUpstream();
  const reportsDir = mkdtempSync(join(tmpdir(), 'mendflow-daily-engine-'));
  const declared = ownUpstreams({ mainApi: upstream.address });
  const quick = { cooldownMs: 700, cooldownMaxMs: 1_500, rampMs: 500, workersMin: 1 };
  const calls: string[] = [];
  const engine: Engine = await openEngine(
    (_, upstreams) => {
      const sink = { pool: engine.pool, seal: sealer };
      const stages = dailyReportActivities({ sink, upstreams, reportsDir });
      const counted = Object.fromEntries(
        Object.entries(stages).map(([name, code]) => [
          name,
          (input: never) => {
            calls.push(name);
            return (code as (input: never) => Promise<unknown>)(input);
          },
        ]),
      );
      return [serve(dailyReport, counted as unknown as typeof stages)];
    },
    {
      upstreams: Object.fromEntries(
        Object.entries(declared).map(([key, one]) => [
          key,
          { ...one, timeout: '2 seconds', breaker: { ...one.breaker, ...quick } } as const,
        ]),
      ),
      pace: quickPace,
    },
  );
  await engine.startWorker('./test/chaos/daily-project/pipelines.ts');
  const start: DailyEngine['start'] = (dataDate, force = false) =>
    engine.start('daily-report', { dataDate, ...(force ? { force } : {}) });
  return {
    engine,
    upstream,
    reportsDir,
    calls,
    start,
    run: async (dataDate, force) => engine.result(await start(dataDate, force)),
    close: async () => {
      await engine.close();
      await upstream.stop();
      rmSync(reportsDir, { recursive: true, force: true });
    },
  };
}
