// What lives here: the project of a worker process whose stages fall in all ways.
// Invariant: a stage that lets something fall goes on waiting, so that only what fell can end it.
// Apart because a worker looks for exactly this file name.
import { setTimeout as sleep } from 'node:timers/promises';
import { project, serve, stage, upstreams } from 'mendflow/worker';
import { falls } from './pipelines.ts';
import { endless, late, nobodys, strays, thrown } from './strays.ts';

export default project({
  workflows: new URL('./pipelines.ts', import.meta.url),
  upstreams: upstreams({ 'http:hostile': { address: 'http://127.0.0.1:9' } }),
  serve: () => [
    serve(falls, {
      hold: () => endless(),
      async fall(how: string) {
        if (how === 'calm') await sleep(4_000);
        else if (how === 'late') late();
        else if (['fine', 'well', 'unread'].includes(how)) return how;
        else if (Object.hasOwn(thrown, how)) thrown[how]!();
        else {
          (strays[how] ?? nobodys)();
          await sleep(strays[how] ? 15_000 : 2_000, undefined, { signal: stage().signal });
        }
        return how;
      },
    }),
  ],
});
