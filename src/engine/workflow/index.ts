// mendflow/workflow: the only module a pipeline file imports.
// Invariant: sandbox-safe; nothing of Node, no schema library, no activity code.
// Apart as the public face of the engine inside the sandbox.
export { document, flakyApi, local, standard, warehouse } from '../../model/policy.ts';
export { choice, number, type Policy, type Run, type Spec, stages, text } from '../../model/spec.ts';
export { adopt, type Pipeline, pipeline } from './pipeline.ts';
export { pipelines, type Registry } from './registry.ts';
