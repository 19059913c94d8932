// What lives here: a project whose stage calls an upstream that nobody declared.
// Invariant: all else about it is right.
// Apart because a worker looks for exactly this file name.
import { project, serve, upstreams } from 'mendflow/worker';
import { call } from '../pipelines-outage.ts';

export default project({
  workflows: new URL('../pipelines-outage.ts', import.meta.url),
  upstreams: upstreams({ 'http:other': { address: 'http://127.0.0.1:9' } }),
  serve: () => [serve(call, { ask: () => Promise.resolve(1) })],
});
