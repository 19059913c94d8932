// mendflow/worker: binds pipelines to their activities and runs them.
// Invariant: a missing or foreign stage is a compile error; a wrong registry or search attribute stops the worker at boot, not at 2 a.m.
// Apart as the public face of the engine outside the sandbox.
import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import {
  bundleWorkflowCode,
  type Logger,
  type NativeConnection,
  Worker,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import type { Pool } from 'pg';
import type { Duration } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import type { Sink } from '../flow/sink.ts';
import { queues } from '../model/ids.ts';
import type { AnySpec, Fields } from '../model/spec.ts';
import { type StageContext } from './activity/context.ts';
import { guarded } from './activity/guard.ts';
import { closeIn, openIn, parkIn, recordIn, settleIn } from './activity/healing.ts';
import { stageLogIn } from './activity/stage-log.ts';
import type { Pipeline } from './workflow/pipeline.ts';

export { command, sql } from './activity/ready-made.ts';
export { stage, type StageContext } from './activity/context.ts';
export { reconcileSearchAttributes } from './search-attributes.ts';

type StageCode = (input: never) => Promise<unknown>;

/** One pipeline with the code of its stages. */
export interface Served {
  readonly spec: AnySpec;
  readonly stages: Readonly<Record<string, StageCode>>;
}

/** `serve(logIngest, logIngestActivities(deps))`. A stage without code, or code without a stage, does not compile. */
export const serve = <A, F extends Fields, R>(one: Pipeline<A, F, R>, activities: NoInfer<A>): Served => ({
  spec: one.spec as unknown as AnySpec,
  stages: activities as Readonly<Record<string, StageCode>>,
});

/** What a project gives the worker and the command line: its pipelines, and how their stages are made. */
export interface Project {
  /** File that exports `default pipelines(…)`. */
  readonly workflows: URL;
  /** Made once per worker process. */
  serve(sink: Sink): readonly Served[];
  /** Your own payload codec or converter, the same for worker and client. */
  readonly dataConverter?: DataConverter;
}
export const project = (value: Project): Project => value;

type Activity = (...args: never[]) => Promise<unknown>;

/** The activities of served pipelines as Temporal names them: `log-ingest/ingest`. For a Worker you make yourself, without a ledger. */
export function activitiesOf(
  served: readonly Served[],
  options: { control?: Pool; segmentMs?: number } = {},
): Record<string, Activity> {
  const stageLog = options.control ? stageLogIn(options.control) : undefined;
  const all: Record<string, Activity> = {};
  for (const { spec, stages } of served)
    for (const [name, code] of Object.entries(stages)) {
      const type = `${spec.name}/${name}`;
      if (all[type])
        throw new TypeError(`Two pipelines serve the stage ${type}. Give each pipeline a name of its own.`);
      all[type] = guarded(code as (input: unknown) => Promise<unknown>, stageLog, options.segmentMs) as Activity;
    }
  return all;
}

/**
 * The stages that an existing workflow takes with `adopt(name, …)`, for a Worker you make yourself: `activities: { ...yours, ...guardedStages(name, { fetch }) }`.
 * Each is called with one input, and its type is `name/stage`.
 */
export const guardedStages = (
  name: string,
  stages: Readonly<Record<string, StageCode>>,
  options: { segmentMs?: number } = {},
): Record<string, Activity> =>
  activitiesOf([{ spec: { name, owner: '', every: 'none', logic: '1', stages: {} }, stages }], options);

const healingActivities = (control: Pool): Record<string, Activity> => {
  const stageLog = stageLogIn(control);
  return {
    'mendflow/open': guarded(openIn(control) as (input: unknown) => Promise<unknown>, stageLog) as Activity,
    'mendflow/close': guarded(closeIn(control) as (input: unknown) => Promise<unknown>, stageLog) as Activity,
    'mendflow/park': parkIn(control) as Activity,
    'mendflow/record': recordIn(control) as Activity,
    'mendflow/settle': settleIn(control) as Activity,
  };
};

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
  readonly dataConverter?: DataConverter;
  readonly slotsMax?: number;
  readonly segmentMs?: number;
  readonly buildId?: string;
  /** How long stages may go on after `shutdown()` before they are told to stop. Default 30 seconds. */
  readonly shutdownGrace?: Duration;
}

/** Two Temporal workers in one process: pipelines, and healing on a queue of its own. */
export async function createWorkers(options: WorkerOptions): Promise<{ run(): Promise<void>; shutdown(): void }> {
  const { connection, namespace, control } = options;
  const { work, heal } = queues(options.prefix);
  const workflowBundle =
    options.workflows instanceof URL ? await bundleWorkflows(options.workflows) : options.workflows;
  const shared = {
    connection,
    namespace,
    shutdownGraceTime: options.shutdownGrace ?? SHUTDOWN_GRACE,
    shutdownForceTime: '45 seconds',
    ...(options.dataConverter ? { dataConverter: options.dataConverter } : {}),
    ...(options.buildId === undefined ? {} : { buildId: options.buildId }),
  } as const;
  const worker = await Worker.create({
    ...shared,
    taskQueue: work,
    workflowBundle,
    activities: activitiesOf(options.served, {
      control,
      ...(options.segmentMs === undefined ? {} : { segmentMs: options.segmentMs }),
    }),
    maxCachedWorkflows: 100,
    stickyQueueScheduleToStartTimeout: STICKY_PATIENCE,
    maxConcurrentWorkflowTaskExecutions: 20,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
    maxConcurrentActivityTaskExecutions: options.slotsMax ?? SLOTS_MAX,
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
  });
  const healer = await Worker.create({
    ...shared,
    taskQueue: heal,
    activities: healingActivities(control),
    maxConcurrentActivityTaskExecutions: 20,
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
  });
  return {
    run: async () => {
      const other = (one: Worker) => (error: unknown) => {
        if (one.getState() === 'RUNNING') one.shutdown();
        throw error;
      };
      await Promise.all([worker.run().catch(other(healer)), healer.run().catch(other(worker))]);
    },
    shutdown: () => {
      for (const one of [worker, healer]) if (one.getState() === 'RUNNING') one.shutdown();
    },
  };
}

/** Workflow code as one bundle; takes about a second, so build it once and keep it. Throws `config_invalid` with what the bundler said. */
export async function bundleWorkflows(workflows: URL): Promise<{ code: string }> {
  const workflowsPath = fileURLToPath(workflows);
  const said: string[] = [];
  const hear = (message: string): void => void said.push(message);
  try {
    return await bundle(workflowsPath, {
      ...quiet,
      error: hear,
      log: (level, message) => level === 'ERROR' && hear(message),
    });
  } catch (cause) {
    // The error itself only says that there were errors; what they are goes to the logger.
    const text = said.length > 0 ? said.join('\n') : cause instanceof Error ? cause.message : String(cause);
    throw new CodedError(
      'config_invalid',
      `The workflows of ${workflowsPath} cannot be bundled; nothing was started.\n${text}`,
      { cause },
    );
  }
}

const bundle = (workflowsPath: string, logger: Logger): Promise<{ code: string }> =>
  bundleWorkflowCode({
    workflowsPath,
    logger,
    // Run from source, `mendflow/workflow` has to be the source too: two copies of the engine would share nothing.
    ...(import.meta.url.endsWith('.ts')
      ? {
          webpackConfigHook: (config) => ({
            ...config,
            resolve: { ...config.resolve, conditionNames: ['mendflow-src', 'require', 'node', 'default'] },
          }),
        }
      : {}),
  });

const nothing = (): void => undefined;
const quiet = { log: nothing, trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

export type { StageContext as Stage };
