// What lives here: the runtime of a project's upstreams: one client per upstream, all behind the breakers that all workers share.
// Invariant: a call never waits for the control store longer than a named moment, and never goes out where the breaker does not admit it.
// Apart because connectors use it, the guard asks it, and neither has to know how breakers are kept.
import { CodedError, failure } from '../model/failure.ts';
import { classify } from '../model/classify.ts';
import { timeoutMsOf, type Upstream, type Upstreams } from '../model/upstream.ts';
import { declareBreakers } from '../store/breakers.ts';
import type { OpenUpstreams, UpstreamClient, UpstreamOptions } from './upstream/types.ts';

export type { CallOptions, OpenUpstreams, UpstreamClient, UpstreamOptions } from './upstream/types.ts';

/** Opens the upstreams of a project. */
export async function openUpstreams(declared: Upstreams, options: UpstreamOptions): Promise<OpenUpstreams> {
  await declareBreakers(options.control, declared);
  const clients = new Map(Object.entries(declared).map(([key, one]) => [key, client(key, one, options)]));
  return {
    at(key) {
      const found = clients.get(key);
      if (!found) throw new CodedError('config_invalid', `Upstream "${key}" is not declared.`);
      return found;
    },
    spendRetry: () => true,
    readSecret({ secret, before = '' }) {
      const value = options.readSecret(secret);
      if (value === undefined) throw new CodedError('secret_missing', `Secret ${secret} is not set.`);
      return before + value;
    },
    close: () => Promise.resolve(),
  };
}

function client(key: string, declared: Upstream, { control, worker }: UpstreamOptions): UpstreamClient {
  return {
    key,
    declared,
    async call(work, { signal, decided = false } = {}) {
      const { rows } = await control.query(
        `select allow, st, ep, tok, retry_ms from mendflow.breaker_acquire($1, $2, null, $3)`,
        [key, worker, decided],
      );
      const { allow, st, ep, tok, retry_ms } = rows[0] as {
        allow: boolean;
        st: string;
        ep: string;
        tok: string | null;
        retry_ms: string;
      };
      if (!allow)
        throw new CodedError('breaker_open', `The breaker of ${key} is ${st}.`, {
          upstream: key,
          nextDelayMs: Number(retry_ms),
        });
      const report = (ok: number, fail: number, hold: string | null): Promise<unknown> =>
        control.query(
          'select mendflow.breaker_report($1, $2, $3, $4, p_ok => $5, p_fail => $6, p_tail => $6, p_hold => $7)',
          [key, ep, tok, worker, ok, fail, hold],
        );
      const limit = AbortSignal.timeout(timeoutMsOf(declared));
      try {
        const result = await work(signal ? AbortSignal.any([signal, limit]) : limit);
        await report(1, 0, null);
        return result;
      } catch (error) {
        if (signal?.aborted === true) throw error;
        const failed = classify(error);
        const fail = failed.fault === 'upstream' && (failed.class === 'transient' || failed.class === 'delayed');
        const held = failed.class === 'permanent' && failed.fault === 'config';
        await report(fail || held ? 0 : 1, fail ? 1 : 0, held ? failed.code : null);
        const named = new CodedError(failed.code, failed.text, { upstream: key, cause: error });
        return await Promise.reject(
          Object.assign(named, { failure: failure(failed.code, failed.text, { ...failed, upstream: key }) }),
        );
      }
    },
  };
}
