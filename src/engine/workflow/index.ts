// mendflow/workflow: the only module a pipeline file imports.
// Invariant: sandbox-safe; nothing of Node, no schema library, no activity code.
// Apart as the public face of the engine inside the sandbox.
export { document, flakyApi, local, standard, warehouse } from '../../model/policy.ts';
export type { Duration } from '../../model/duration.ts';
export type { RunArgs, RunSummary } from '../../model/messages.ts';
export {
  type AnySpec,
  type Backoff,
  type Budget,
  choice,
  type Field,
  type FieldOf,
  type Fields,
  type InputOf,
  number,
  type Plan,
  type Policy,
  type Run,
  type Spec,
  type Stage,
  type Stages,
  stages,
  text,
} from '../../model/spec.ts';
export { adopt, type Pipeline, pipeline } from './pipeline.ts';
export { pipelines, type Registry } from './registry.ts';
