// What lives here: the package's own pipelines as the story runs them: against the demo upstream, with an outage of seconds instead of minutes.
// Invariant: pipelines and stages are those of the package; only the declaration of one upstream differs, and the story says so.
// Apart because a worker looks for exactly this file name in the folder it is started from.
import { secret, upstreams } from 'mendflow/worker';
import packaged from '../../../dist/project.js';

const mainApi = packaged.upstreams['http:main_api'];

export default {
  ...packaged,
  upstreams: upstreams({
    ...packaged.upstreams,
    'http:main_api': {
      ...mainApi,
      probe: '/health',
      callsPerSecond: 20,
      // Read anew at each call, from the file that QUAKE_TOKEN_FILE names.
      headers: { authorization: secret('QUAKE_TOKEN', { before: 'Bearer ' }) },
      breaker: { ...mainApi.breaker, workersMin: 1, cooldownMs: 3_000, cooldownMaxMs: 6_000, rampMs: 3_000 },
    },
  }),
};
