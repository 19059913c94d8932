// What lives here: the runtime of a project's upstreams: one client per upstream, all behind the breakers that all workers share.
// Invariant: a call never waits for the control store longer than a named moment, and never goes out where the breaker does not admit it.
// Apart because connectors use it, the guard asks it, and neither has to know how breakers are kept.
import { type Mode, modeAt } from '../model/breaker.ts';
import { othersAnswered } from '../model/breaker-evidence.ts';
import { CodedError } from '../model/failure.ts';
import { spend } from '../model/retry-budget.ts';
import { faultsOfUpstreams, type Upstreams } from '../model/upstream.ts';
import { valueOf } from './secret.ts';
import { openCache } from './upstream/cache.ts';
import { upstreamClient } from './upstream/client.ts';
import { listen } from './upstream/listen.ts';
import { flushing } from './upstream/report.ts';
import type { OpenUpstreams, UpstreamOptions } from './upstream/types.ts';

export type { CallOptions, OpenUpstreams, UpstreamClient, UpstreamOptions } from './upstream/types.ts';

const letsAllThrough: ReadonlySet<Mode> = new Set<Mode>(['forced_closed', 'observe']);

/**
 * Opens the upstreams of a project: writes their settings, reads their breakers, and listens until `close`.
 * A control store that is away is no error: each upstream then has a breaker of this process until it is back.
 * Fails with `config_invalid` for a declaration that is wrong, and with `pg_schema` or `sink_unsafe` for a store that cannot be used.
 */
export async function openUpstreams(declared: Upstreams, options: UpstreamOptions): Promise<OpenUpstreams> {
  const faults = faultsOfUpstreams(declared);
  if (faults.length > 0) throw new CodedError('config_invalid', faults.join('\n'));
  const cache = openCache(declared, options);
  const listener = await listen(cache, options.databaseUrl, declared);
  const stopFlushing = flushing(cache);
  const clients = new Map([...cache.entries].map(([key, entry]) => [key, upstreamClient(cache, entry)]));
  return {
    at(key) {
      const found = clients.get(key);
      if (found) return found;
      const known = [...clients.keys()].join(', ');
      throw new CodedError(
        'config_invalid',
        `Upstream "${key}" is not declared, so it was not called. Declared are: ${known === '' ? 'none' : known}. Add it to the project's upstreams.`,
      );
    },
    spendRetry(key) {
      const entry = cache.entries.get(key);
      if (!entry) return true;
      const { allowed, state } = spend(entry.budget, cache.now());
      entry.budget = state;
      return allowed;
    },
    isOpen(key) {
      const b = cache.entries.get(key)?.b;
      // Where an operator lets every call through nobody is held back, so who would wait for the breaker would be called again at once, over and over.
      if (!b || (b.mode !== 'auto' && letsAllThrough.has(modeAt(b, cache.now())))) return false;
      return b.state === 'open' || b.state === 'half_open';
    },
    answersOthers(key, caller, spanMs) {
      const entry = cache.entries.get(key);
      const now = cache.now();
      return entry !== undefined && [entry.b, entry.seen].some((of) => othersAnswered(of, caller, now, spanMs));
    },
    readSecret: (secret) => valueOf(secret, options.readSecret),
    async close() {
      await stopFlushing();
      await listener.close();
    },
  };
}
