// What lives here: the upstreams that this package's own pipelines call.
// Invariant: addresses come from the configuration; the figures of their breakers are those of document 000.
// Apart because a person who moves a service changes this file and nothing else.
import { type Upstreams, upstreams } from './model/upstream.ts';

/** What stands for an address that nobody has set: no name of this kind ever exists. */
export const NOT_SET = 'http://mendflow-main-api-not-set.invalid';

/** `main_api` is the source of daily-report, `reporting_db` its target. */
export const ownUpstreams = (at: { readonly mainApi: string | undefined }): Upstreams =>
  upstreams({
    'http:main_api': {
      address: at.mainApi ?? NOT_SET,
      timeout: '30 seconds',
      breaker: { consecutive: 3, cooldownMs: 120_000 },
    },
    'db:reporting_db': {
      address: 'the sink store',
      timeout: '2 minutes',
      breaker: { consecutive: 2, cooldownMs: 60_000 },
    },
  });
