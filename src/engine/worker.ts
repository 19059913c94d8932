// mendflow/worker: binds pipelines to their activities and runs them.
// Invariant: names only; what stands here may be used by anybody and changes with care.
// Apart as the public face of the engine outside the sandbox.
import type { WorkerOptions, Workers } from './create-workers.ts';

export { command, type CommandOptions, type CommandResult, sql } from './activity/ready-made.ts';
export { stage, type StageContext, type StageContext as Stage } from './activity/context.ts';
export type { WorkerOptions, Workers } from './create-workers.ts';
export type { CallOptions, OpenUpstreams, UpstreamClient } from '../connectors/upstream.ts';
export { reconcileSearchAttributes } from './search-attributes.ts';
export {
  activitiesOf,
  type FormatsProject,
  guardedStages,
  type Project,
  type ProjectOf,
  project,
  serve,
  type Served,
} from './served.ts';
export {
  accessFormat,
  type OwnAccess,
  type OwnFormat,
  type OwnFormats,
  type OwnOptions,
  type OwnPattern,
  pattern,
} from '../flow/formats/own.ts';
export { type Secret, secret, type Upstream, type Upstreams, upstreams } from '../model/upstream.ts';

// A project's mendflow.config.ts imports this file, and every command reads the project: what runs a worker is loaded by whoever runs one.

/** Throws `config_invalid` where upstreams are declared wrongly, or not declared and named by a stage. */
export const createWorkers = async (options: WorkerOptions): Promise<Workers> =>
  (await import('./create-workers.ts')).createWorkers(options);

/** Workflow code as one bundle; takes about a second, so build it once and keep it. Throws `config_invalid` with what the bundler said. */
export const bundleWorkflows = async (workflows: URL): Promise<{ code: string }> =>
  (await import('./bundle.ts')).bundleWorkflows(workflows);
