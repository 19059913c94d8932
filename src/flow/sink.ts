// What lives here: where a flow writes, and with which key its letters are sealed.
// Invariant: a flow that names no sink uses the one the process provided, or fails before it reads anything.
// Apart so that a pipeline's own code names tables and never addresses or keys.
import type { Pool } from 'pg';
import { CodedError } from '../model/failure.ts';
import type { Sealer } from '../store/seal.ts';
import type { Connections } from './connections.ts';

export interface Sink {
  /** Tells the address; a flow opens connections of its own, because a take-over ends them by name. */
  readonly pool: Pool;
  readonly seal: Sealer;
  /** Where flows that follow one another share theirs. */
  readonly connections?: Connections;
}

let provided: Sink | undefined;

/** Called once by the worker when it starts; `undefined` takes it back. */
export function provideSink(sink: Sink | undefined): void {
  provided = sink;
}

/** The given sink, else the provided one. Fails with `config_invalid` if there is neither. */
export function sinkOr(given: Sink | undefined): Sink {
  const sink = given ?? provided;
  if (sink) return sink;
  throw new CodedError(
    'config_invalid',
    'No sink: nothing was read or written. Start the worker with DATABASE_URL, or give flow({ …, sink }) one.',
  );
}
