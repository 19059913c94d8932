// What lives here: the upstreams that this package's own pipelines call.
// Invariant: addresses come from the configuration; the figures of their breakers are those of document 000.
// Apart because a person who moves a service changes this file and nothing else.
import { type Upstreams, upstreams } from './model/upstream.ts';

/** `main_api` is the source of daily-report, `reporting_db` its target. */
export const ownUpstreams = (at: { readonly mainApi: string }): Upstreams =>
  upstreams({
    'http:main_api': {
      address: at.mainApi,
      timeout: '30 seconds',
      breaker: { consecutive: 3, cooldownMs: 120_000 },
    },
    'db:reporting_db': {
      address: 'the sink store',
      timeout: '2 minutes',
      breaker: { consecutive: 2, cooldownMs: 60_000 },
    },
  });
