// What lives here: a Temporal worker that runs the code of log-ingest's stages with nothing of Mendflow's engine around it.
// Invariant: the flow, the ledger and the parsers are those that ship; guard, heartbeats, tallies and stage rows are not there.
// Apart because it is what a run would cost if nothing had to be healed.
import { Context } from '@temporalio/activity';
import { NativeConnection, Worker } from '@temporalio/worker';
import type * as Activities from '../../src/activities/log-ingest.ts';
import type * as Db from '../../src/store/db.ts';
import type * as Seal from '../../src/store/seal.ts';
import type * as Stage from '../../src/engine/activity/context.ts';
import type { Bare } from './workflows.ts';

const built = <T>(file: string): Promise<T> =>
  import(new URL(`../../dist/${file}`, import.meta.url).href) as Promise<T>;
const { logIngestActivities } = await built<typeof Activities>('activities/log-ingest.js');
const { openPool } = await built<typeof Db>('store/db.js');
const { createSealer } = await built<typeof Seal>('store/seal.js');
const { withStage } = await built<typeof Stage>('engine/activity/context.js');

const [databaseUrl = '', address = '', taskQueue = ''] = process.argv.slice(2);
const pool = openPool({ url: databaseUrl, applicationName: 'bench-bare' }, 10);
const seal = createSealer([{ id: 'bench', key: Buffer.alloc(32, 7) }]);
const stages = logIngestActivities({ pool, seal });

const activities: Bare = {
  list: (input) => stages.list(input),
  ingest: (input, runKey) => {
    const { info, cancellationSignal } = Context.current();
    const [, dataDate = ''] = runKey.split('/');
    const context: Stage.StageContext = {
      pipeline: 'log-ingest-bare',
      runKey,
      stage: `ingest[${input.file.name}]`,
      dataDate,
      generation: 1,
      attempt: 1,
      idempotencyKey: runKey,
      signal: cancellationSignal,
      onChunk: () => undefined,
      attemptAt: info.currentAttemptScheduledTimestampMs,
      holder: 'bench',
      segmentMs: 45_000,
      quarantineShareMax: 0.05,
      losses: 0,
      decided: false,
    };
    return withStage(context, () => stages.ingest(input));
  },
};

const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowsPath: new URL('./workflows.ts', import.meta.url).pathname,
  activities,
  bundlerOptions: {
    webpackConfigHook: (config) => ({
      ...config,
      resolve: { ...config.resolve, conditionNames: ['mendflow-src', 'require', 'node', 'default'] },
    }),
  },
});
process.once('SIGTERM', () => worker.shutdown());
console.log('Worker is up.');
await worker.run();
