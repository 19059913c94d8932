// What lives here: log-ingest with parts of Mendflow switched off: without retries, and without healing at all.
// Invariant: the same stages over the same activities; what differs is only what the name says is off.
// Apart because Temporal bundles this file for the workers of the bench.
import { proxyActivities } from '@temporalio/workflow';
import { logIngest } from '../../src/workflows/log-ingest.ts';
import { pipeline, pipelines, stages } from 'mendflow/workflow';
import type { FileRef } from '../../src/connectors/files.ts';
import type { LogIngest } from '../../src/activities/log-ingest.ts';
import type { RunArgs } from '../../src/model/messages.ts';

const { stages: policies, ...spec } = logIngest.spec;
const once = { attemptsMax: 1, time: '1 second' } as const;

/** One attempt a stage, and a failure ends the run. */
export const withoutRetry = pipeline({
  ...spec,
  name: 'log-ingest-once',
  heal: 'off',
  stages: stages<LogIngest>({
    list: { ...policies.list, budget: once },
    ingest: { ...policies.ingest, budget: once },
    group: { ...policies.group, budget: once },
  }),
});

/** What `bare.ts` offers: the code of the stages with nothing around it. */
export interface Bare {
  list(input: { path: string }): ReturnType<LogIngest['list']>;
  ingest(input: Parameters<LogIngest['ingest']>[0], runKey: string): ReturnType<LogIngest['ingest']>;
}

/** As one would write it for Temporal alone: no guard, no budget, no parks, no decisions, no opening and closing, no stage rows. */
export async function withoutHealing({ input, dataDate, scope }: RunArgs): Promise<{ loaded: number }> {
  const { list, ingest } = proxyActivities<Bare>({ startToCloseTimeout: '10 minutes', retry: { maximumAttempts: 1 } });
  const { path, format } = input as { path: string; format: 'plain' };
  const files = (await list({ path })) as FileRef[];
  const loaded = await Promise.all(
    files.map(async (file) => {
      for (;;) {
        const segment = await ingest({ file, format }, `log-ingest-bare/${dataDate}/${scope}`);
        if (segment.done) return segment.out.loaded;
      }
    }),
  );
  return { loaded: loaded.reduce((sum, one) => sum + one, 0) };
}

export default pipelines(withoutRetry);
