// What lives here: a project whose one upstream is declared with everything that can be declared, for the tests of the command line.
// Invariant: the tests' own workers run it; the command line reads what is declared.
// Apart because the command line looks for exactly this file name.
import { project, secret, upstreams } from '../../../src/engine/worker.ts';

export default project({
  workflows: new URL('../../engine/pipelines-outage.ts', import.meta.url),
  upstreams: upstreams({
    'http:api': {
      address: 'http://anna:hunter2@127.0.0.1:9/base',
      timeout: '2 seconds',
      slow: '1 second',
      callsPerSecond: 50,
      concurrency: 4,
      probe: '/health',
      headers: { authorization: secret('OUTAGE_TOKEN', { before: 'Bearer ' }), 'x-plain': 'yes' },
      codes: { http_404: 'http_404_not_yet' },
      breaker: { consecutive: 3, cooldownMs: 90_000 },
    },
    'db:other': { address: 'another database' },
  }),
  serve: () => [],
});
