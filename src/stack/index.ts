// What lives here: the entry of the stack.
// Invariant: nothing below src/stack is imported past this file, but by its own tests.
// Apart so that moving a file inside the room moves nothing outside.
export { withLock } from './system/lock.ts';
export { startPostgres, type PostgresOptions, type RunningPostgres } from './postgres.ts';
export {
  stackAddresses,
  stackDown,
  stackStatus,
  stackUp,
  type ServerStatus,
  type StackAddresses,
  type StackOptions,
  type StackStatus,
} from './stack.ts';
export { ensureTemporalCli, findTemporalCli } from './temporal-cli.ts';
export { startTemporal, type RunningTemporal, type TemporalOptions } from './temporal.ts';
export { startWorkerProcess, type WorkerCommand, type WorkerProcess } from './worker-process.ts';
