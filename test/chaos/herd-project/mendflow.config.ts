// What lives here: the project that the worker processes of the tests about recovery find in their folder.
// Invariant: two names for one server: one declared as it is, one without what it takes.
// Apart because a worker looks for exactly this file name.
import { project, serve } from 'mendflow/worker';
import { asking } from '../../support/asking.ts';
import { late, soon, wild } from './pipelines.ts';

const address = process.env['API_URL'] ?? 'http://127.0.0.1:1';
const breaker = { consecutive: 5, workersMin: 1, cooldownMs: 1_000, cooldownMaxMs: 2_000, rampMs: 5_000 };

export default project({
  workflows: new URL('./pipelines.ts', import.meta.url),
  upstreams: {
    'http:api': {
      address,
      timeout: '5 seconds',
      callsPerSecond: Number(process.env['API_CALLS_PER_SECOND'] ?? 10),
      concurrency: 8,
      breaker,
    },
    'http:wild': { address, timeout: '5 seconds', concurrency: 50, breaker },
  },
  serve: (_sink, upstreams) => [
    serve(soon, asking(upstreams)),
    serve(late, asking(upstreams)),
    serve(wild, asking(upstreams, 'http:wild')),
  ],
});
