// mendflow/worker: binds pipelines to their activities and runs them.
// Invariant: names only; what stands here may be used by anybody and changes with care.
// Apart as the public face of the engine outside the sandbox.
export { command, sql } from './activity/ready-made.ts';
export { stage, type StageContext, type StageContext as Stage } from './activity/context.ts';
export { bundleWorkflows } from './bundle.ts';
export { createWorkers, type WorkerOptions, type Workers } from './create-workers.ts';
export type { CallOptions, OpenUpstreams, UpstreamClient } from '../connectors/upstream.ts';
export { reconcileSearchAttributes } from './search-attributes.ts';
export { activitiesOf, guardedStages, type Project, project, serve, type Served } from './served.ts';
export { type Secret, secret, type Upstream, type Upstreams, upstreams } from '../model/upstream.ts';
