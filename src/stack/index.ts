// What lives here: the entry of the stack.
// Invariant: nothing below src/stack is imported past this file, but by its own tests.
// Apart so that moving a file inside the room moves nothing outside.
export { findTemporalCli } from './temporal-cli.ts';
export { startPostgres, type PostgresOptions, type RunningPostgres } from './postgres.ts';
export { startTemporal, type RunningTemporal, type TemporalOptions } from './temporal.ts';
