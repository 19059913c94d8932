// What lives here: the entry of the stack.
// Invariant: nothing below src/stack is imported past this file, but by its own tests.
// Apart so that moving a file inside the room moves nothing outside.
export { foldersOf, startPostgres } from './postgres.ts';
export {
  isInBooks,
  missingParts,
  serverAddresses,
  stackAddresses,
  stackDown,
  stackStatus,
  stackUp,
  stackWorkers,
  toldBefore,
  type StackAddresses,
  type StackStatus,
} from './stack.ts';
export { type DevBook, devsOf, hasLostItsWorker, openDevBook, underWay, wasEnded } from './under-way.ts';
export { findTemporalCli } from './temporal-cli.ts';
export { startTemporal } from './temporal.ts';
export { leanNode, startWorkerProcess, type WorkerCommand, type WorkerProcess } from './worker-process.ts';
export type { KeeperCommand } from './keeper/process.ts';
export type { StackOwner } from './state.ts';
export { isSuspended, startOf } from './system/process.ts';
