// What lives here: what the engine needs of the upstreams a worker has opened.
// Invariant: types only; connectors/upstream.ts is the thing itself.
// Apart so that guard, worker and projects name one shape.
import type { Secret, Upstream } from '../model/upstream.ts';

/** A StageContext can be passed as it is. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** An operator said to try now: lets the call through as the trial of a breaker that is held open. */
  readonly decided?: boolean;
}

/** One upstream: what it is called by, and the one way to call it. */
export interface UpstreamClient {
  readonly key: string;
  readonly declared: Upstream;
  call<T>(work: (signal: AbortSignal) => Promise<T>, options?: CallOptions): Promise<T>;
}

/** The upstreams of one worker process. */
export interface OpenUpstreams {
  /** Throws `config_invalid` for a key that is not declared. */
  at(key: string): UpstreamClient;
  /** Asked before each retry of a failure of this upstream; false: its retry budget is spent. */
  spendRetry(key: string): boolean;
  /** Throws `secret_missing`. */
  readSecret(secret: Secret): string;
  close(): Promise<void>;
}
