// What lives here: what a connector, a stage and the guard see of an upstream.
// Invariant: nothing of Temporal and nothing of Postgres but the pool that is passed through.
// Apart because the parts of the runtime and everybody who calls share these names.
import type { Pool } from 'pg';
import type { Secret, Upstream } from '../../model/upstream.ts';

/** A StageContext can be passed as it is. */
export interface CallOptions {
  /** Ends the call; what it ends so is our own doing and never counts against the upstream. */
  readonly signal?: AbortSignal;
  /** An operator said retry: passes a hold as a leased trial. */
  readonly decided?: boolean;
}

export interface UpstreamClient {
  readonly key: string;
  readonly declared: Upstream;
  /**
   * Runs `work` if the breaker admits it, at the declared pace and under the hard timeout, and tells the breaker how it ended.
   * What it throws is a `CodedError` that names the upstream, by the upstream's own `codes`; refused, it is `breaker_open`.
   */
  call<T>(work: (signal: AbortSignal) => Promise<T>, options?: CallOptions): Promise<T>;
}

/** `K`: the declared keys, so that another does not compile. */
export interface OpenUpstreams<K extends string = string> {
  /** Fails with `config_invalid` for a key that is not declared. */
  at(key: K): UpstreamClient;
  /** The guard asks before each retry; false: the retry budget of this upstream is spent. A key that is not declared has no budget and is never refused. */
  spendRetry(key: string): boolean;
  /** Whether its breaker is open or half-open and no operator lets every call through, as far as this process knows: who would have to wait anyway waits for it. False for a key that is not declared. */
  isOpen(key: string): boolean;
  /** Whether anybody but this caller was answered in so many ms before now, as far as this process knows: then its failures may be its own. */
  answersOthers(key: string, caller: string, spanMs: number): boolean;
  /** The value with the text before it, read anew each time. Fails with `secret_missing`. */
  readSecret(secret: Secret): string;
  /** Tells the store what has not been told yet, and lets go of the connection. */
  close(): Promise<void>;
}

export interface UpstreamOptions {
  /** Statements of calls: trials, reports, reservations. */
  readonly control: Pool;
  /** For the one connection that listens; a pooler in transaction mode cannot. */
  readonly databaseUrl: string;
  /** Names this process in the window and in trials: `host:pid`. */
  readonly worker: string;
  readonly readSecret: (name: string) => string | undefined;
  /** Told of each new state that this process gets to know, the ones of its local breakers too. */
  readonly onTransition?: (key: string, state: string) => void;
}
