// What lives here: the Temporal workers of one process: pipelines, healing, and one for each upstream.
// Invariant: either all of them are made or none runs; a stage that names an upstream nobody declared stops the worker at boot.
// Apart from worker.ts because that is what users write against, and this is what the composition root calls.
import {
  type NativeConnection,
  Worker,
  type WorkerOptions as SdkOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import type { DataConverter } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Duration } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import { queues, upstreamQueueOf } from '../model/ids.ts';
import { CONCURRENCY, faultsOfUpstreams, type Upstreams } from '../model/upstream.ts';
import { guarded } from './activity/guard.ts';
import { closeIn, openIn, parkIn, recordIn, settleIn } from './activity/healing.ts';
import { stageLogIn } from './activity/stage-log.ts';
import { bundleWorkflows } from './bundle.ts';
import type { OpenUpstreams } from './open-upstreams.ts';
import { type Activity, activitiesOf, type Served } from './served.ts';

/** Activities of pipelines at once in one worker process, unless configured. */
const SLOTS_MAX = 8;
const SHUTDOWN_GRACE = '30 seconds';
/** A killed worker's runs wait so long for it before another takes them; the default of 10 s would be most of a recovery. Too short costs a replay. */
const STICKY_PATIENCE = '2 seconds';

export interface WorkerOptions {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly prefix: string;
  readonly served: readonly Served[];
  /** A bundle that was built before, or the file to build it from. */
  readonly workflows: WorkflowBundleOption | URL;
  readonly control: Pool;
  /** What the stages call. Each gets a queue of its own, with as many slots as it has `concurrency`. Default none. */
  readonly upstreams?: { readonly declared: Upstreams; readonly open: OpenUpstreams };
  readonly dataConverter?: DataConverter;
  readonly slotsMax?: number;
  readonly segmentMs?: number;
  readonly buildId?: string;
  /** How long stages may go on after `shutdown()` before they are told to stop. Default 30 seconds. */
  readonly shutdownGrace?: Duration;
}

/** The workers of one process. `run` ends when they were shut down, and with the first that fails. */
export interface Workers {
  run(): Promise<void>;
  shutdown(): void;
}

/** Throws `config_invalid` where upstreams are declared wrongly, or not declared and named by a stage. */
export async function createWorkers(options: WorkerOptions): Promise<Workers> {
  refuseUnknownUpstreams(options);
  const { work, heal } = queues(options.prefix);
  const workflowBundle =
    options.workflows instanceof URL ? await bundleWorkflows(options.workflows) : options.workflows;
  const stages = activitiesOf(options.served, {
    control: options.control,
    ...(options.segmentMs === undefined ? {} : { segmentMs: options.segmentMs }),
    ...(options.upstreams ? { upstreams: options.upstreams.open } : {}),
  });
  const wanted: Partial<SdkOptions>[] = [
    {
      taskQueue: work,
      workflowBundle,
      activities: stages,
      maxCachedWorkflows: 100,
      stickyQueueScheduleToStartTimeout: STICKY_PATIENCE,
      maxConcurrentWorkflowTaskExecutions: 20,
      workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
      maxConcurrentActivityTaskExecutions: options.slotsMax ?? SLOTS_MAX,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
    },
    {
      taskQueue: heal,
      activities: healingActivities(options.control),
      maxConcurrentActivityTaskExecutions: 20,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
    },
    ...Object.entries(options.upstreams?.declared ?? {}).map(([key, { concurrency }]) => ({
      taskQueue: upstreamQueueOf(work, key),
      activities: stages,
      maxConcurrentActivityTaskExecutions: concurrency ?? CONCURRENCY,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 } as const,
    })),
  ];
  return together(await createAll(options, wanted));
}

async function createAll(options: WorkerOptions, wanted: readonly Partial<SdkOptions>[]): Promise<Worker[]> {
  const shared = {
    connection: options.connection,
    namespace: options.namespace,
    shutdownGraceTime: options.shutdownGrace ?? SHUTDOWN_GRACE,
    shutdownForceTime: '45 seconds',
    ...(options.dataConverter ? { dataConverter: options.dataConverter } : {}),
    ...(options.buildId === undefined ? {} : { buildId: options.buildId }),
  } as const;
  const made: Worker[] = [];
  try {
    for (const one of wanted) made.push(await Worker.create({ ...shared, ...one } as SdkOptions));
    return made;
  } catch (error) {
    // One that was made and never ran keeps its connection from closing.
    await Promise.allSettled(made.map((one) => one.runUntil(Promise.resolve())));
    throw error;
  }
}

function together(workers: readonly Worker[]): Workers {
  const shutdown = (): void => {
    for (const one of workers) if (one.getState() === 'RUNNING') one.shutdown();
  };
  const run = async (one: Worker): Promise<void> => {
    try {
      await one.run();
    } catch (error) {
      shutdown();
      throw error;
    }
  };
  return {
    run: async () => {
      const ends = await Promise.allSettled(workers.map(run));
      const failed = ends.find((end) => end.status === 'rejected');
      if (failed) throw failed.reason;
    },
    shutdown,
  };
}

const healingActivities = (control: Pool): Record<string, Activity> => {
  const around = { stageLog: stageLogIn(control) };
  return {
    'mendflow/open': guarded(openIn(control) as (input: unknown) => Promise<unknown>, around) as Activity,
    'mendflow/close': guarded(closeIn(control) as (input: unknown) => Promise<unknown>, around) as Activity,
    'mendflow/park': parkIn(control) as Activity,
    'mendflow/record': recordIn(control) as Activity,
    'mendflow/settle': settleIn(control) as Activity,
  };
};

function refuseUnknownUpstreams({ served, upstreams }: WorkerOptions): void {
  const declared = upstreams?.declared ?? {};
  const faults = faultsOfUpstreams(declared);
  for (const { spec } of served)
    for (const [stage, { upstream }] of Object.entries(spec.stages))
      if (upstream !== undefined && !Object.hasOwn(declared, upstream))
        faults.push(
          `Stage ${spec.name}/${stage} names the upstream "${upstream}", which is not declared: it would wait on a queue without a worker. Declare it in \`upstreams\` of the project, or correct the name.`,
        );
  if (faults.length > 0)
    throw new CodedError(
      'config_invalid',
      `The upstreams are not valid; nothing was started.\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
}
