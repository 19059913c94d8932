// What lives here: the Temporal workers of one process: pipelines, healing, and one for each upstream.
// Invariant: either all of them are made or none runs; a stage that names an upstream nobody declared stops the worker at boot.
// Apart from worker.ts because that is what users write against, and this is what the composition root calls.
import { Client } from '@temporalio/client';
import {
  type NativeConnection,
  Worker,
  type WorkerInterceptors,
  type WorkerOptions as SdkOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataConverter } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Duration } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import { queues, upstreamQueueOf } from '../model/ids.ts';
import { CONCURRENCY, faultsOfUpstreams, type Upstreams } from '../model/upstream.ts';
import { guarded } from './activity/guard.ts';
import { closeIn, openIn, recordIn, settleIn } from './activity/healing.ts';
import { parkIn } from './activity/parking.ts';
import { probeIn } from './activity/probe.ts';
import { type RecoveryTools, tickIn } from './activity/recovery.ts';
import { sweepIn } from './activity/sweep.ts';
import { stageLogIn } from './activity/stage-log.ts';
import { bundleWorkflows } from './bundle.ts';
import { printOf } from '../connectors/secret.ts';
import { tellClock } from '../store/clocks.ts';
import type { OpenUpstreams } from '../connectors/upstream.ts';
import { defaultPace, type Pace } from './pace.ts';
import { startWatch } from './recoveries.ts';
import { type Activity, activitiesOf, type Served } from './served.ts';

/** Activities of pipelines at once in one worker process, unless configured. */
const SLOTS_MAX = 8;
const SHUTDOWN_GRACE = '30 seconds';
/** A killed worker's runs wait so long for it before another takes them; the default of 10 s would be most of a recovery. Too short costs a replay. */
const STICKY_PATIENCE = '2 seconds';

/**
 * So long one activation of a workflow may take before the SDK cuts it, which on this Node ends the whole process ("async hook stack has become corrupted").
 * Our own take milliseconds, whatever the number of stages; a machine that was suspended or is overloaded must not look like a loop without end.
 */
const ACTIVATION_MAX = '30 seconds';

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
  /** Interceptors of Temporal's SDK, such as those that trace. */
  readonly interceptors?: WorkerInterceptors;
  readonly slotsMax?: number;
  readonly segmentMs?: number;
  readonly buildId?: string;
  /** How often parks, recovery and watch look by themselves; tests shorten it. */
  readonly pace?: Partial<Pace>;
  /** How long stages may go on after `shutdown()` before they are told to stop. Default 30 seconds. */
  readonly shutdownGrace?: Duration;
}

/** The workers of one process. `run` ends when they were shut down, and with the first that fails. */
export interface Workers {
  run(): Promise<void>;
  shutdown(): void;
}

/** The SDK takes the limit of an activation, though its type does not say so. */
type Options = Partial<SdkOptions> & { readonly isolateExecutionTimeout?: Duration };

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
  const wanted: Options[] = [
    {
      taskQueue: work,
      workflowBundle,
      activities: stages,
      maxCachedWorkflows: 100,
      isolateExecutionTimeout: ACTIVATION_MAX,
      stickyQueueScheduleToStartTimeout: STICKY_PATIENCE,
      maxConcurrentWorkflowTaskExecutions: 20,
      workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
      maxConcurrentActivityTaskExecutions: options.slotsMax ?? SLOTS_MAX,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
    },
    {
      taskQueue: heal,
      activities: healingActivities(options),
      maxConcurrentActivityTaskExecutions: 20,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
    },
    ...Object.entries(options.upstreams?.declared ?? {}).map(([key, { concurrency }]) => ({
      taskQueue: upstreamQueueOf(work, key),
      activities: { ...stages, 'mendflow/probe': probeIn(options.upstreams!.open) as Activity },
      maxConcurrentActivityTaskExecutions: concurrency ?? CONCURRENCY,
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 } as const,
    })),
  ];
  return together(options, await createAll(options, wanted));
}

async function createAll(options: WorkerOptions, wanted: readonly Options[]): Promise<Worker[]> {
  const shared = {
    connection: options.connection,
    namespace: options.namespace,
    shutdownGraceTime: options.shutdownGrace ?? SHUTDOWN_GRACE,
    shutdownForceTime: '45 seconds',
    ...(options.dataConverter ? { dataConverter: options.dataConverter } : {}),
    ...(options.interceptors ? { interceptors: options.interceptors } : {}),
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

function together(options: WorkerOptions, workers: readonly Worker[]): Workers {
  let over = false;
  const shutdown = (): void => {
    over = true;
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
      void makeSureOfWatch(options, { ...defaultPace, ...options.pace }.sweepMs, () => over);
      void tellClockOften(options.control, () => over);
      const ends = await Promise.allSettled(workers.map(run));
      const failed = ends.find((end) => end.status === 'rejected');
      if (failed) throw failed.reason;
    },
    shutdown,
  };
}

const WATCH_RETRY_MS = 5_000;

/** Watch finds out what is missing, and nobody would find out that watch itself is: so each worker asks for it, again and again. */
async function makeSureOfWatch(options: WorkerOptions, sweepMs: number, isOver: () => boolean): Promise<void> {
  const { connection, namespace, prefix, dataConverter } = options;
  const client = new Client({ connection, namespace, ...(dataConverter ? { dataConverter } : {}) });
  while (!isOver()) {
    const started = await startWatch(client, { prefix }).then(
      () => true,
      () => false,
    );
    await sleep(started ? 2 * sweepMs : WATCH_RETRY_MS, undefined, { ref: false });
  }
}

const CLOCK_EVERY_MS = 60_000;

/** For `doctor`: a clock that is wrong harms no wait here, but files and other programs of that machine. */
async function tellClockOften(control: Pool, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await tellClock(control, `${hostname()}:${process.pid}`).catch(() => undefined);
    await sleep(CLOCK_EVERY_MS, undefined, { ref: false });
  }
}

function recoveryTools({ control, upstreams }: WorkerOptions, pace: Pace): RecoveryTools {
  const declared = upstreams?.declared ?? {};
  const read = (name: string): string | undefined => {
    try {
      return upstreams?.open.readSecret({ secret: name });
    } catch (error) {
      // A secret that is missing is a credential like any other: setting it makes another fingerprint.
      if (error instanceof CodedError) return undefined;
      throw error;
    }
  };
  return {
    pool: control,
    pace,
    printOf: (upstream) => printOf(declared[upstream]?.headers, read),
    hasProbe: (upstream) => declared[upstream]?.probe !== undefined,
  };
}

const healingActivities = (options: WorkerOptions): Record<string, Activity> => {
  const { control, prefix } = options;
  const pace = { ...defaultPace, ...options.pace };
  const around = { stageLog: stageLogIn(control) };
  return {
    'mendflow/open': guarded(openIn(control) as (input: unknown) => Promise<unknown>, around) as Activity,
    'mendflow/close': guarded(closeIn(control) as (input: unknown) => Promise<unknown>, around) as Activity,
    'mendflow/park': parkIn(control, { prefix }, pace) as Activity,
    'mendflow/tick': tickIn(recoveryTools(options, pace)) as Activity,
    'mendflow/sweep': sweepIn(
      control,
      { prefix },
      pace,
      options.served.map(({ spec }) => spec),
    ) as Activity,
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
