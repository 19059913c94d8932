// What lives here: the project that the worker processes of the chaos tests find in their folder.
// Invariant: the activities are those of the package as it is built: the code that ships is the code that is killed.
// Apart because a worker looks for exactly this file name.
import { existsSync, readFileSync } from 'node:fs';
import { project, serve } from 'mendflow/worker';
import type * as Activities from '../../../src/activities/log-ingest.ts';
import type * as Failpoints from '../../../src/store/failpoint.ts';
import { logIngest } from './pipelines.ts';

const built = <T>(file: string): Promise<T> =>
  import(new URL(`../../../dist/${file}`, import.meta.url).href) as Promise<T>;
const { logIngestActivities } = await built<typeof Activities>('activities/log-ingest.js');
const { armFailpoints } = await built<typeof Failpoints>('store/failpoint.js');

/** A worker that is to take over is started early and waits here, so that a test does not wait for it to start. */
function waitAtGate(): void {
  const gate = process.env['MENDFLOW_TEST_GATE'];
  const clock = new Int32Array(new SharedArrayBuffer(4));
  while (gate !== undefined && gate !== '' && !existsSync(gate)) Atomics.wait(clock, 0, 0, 20);
}

export default project({
  workflows: new URL('./pipelines.ts', import.meta.url),
  serve: (sink) => {
    waitAtGate();
    const stages = logIngestActivities(sink);
    return [
      serve(logIngest, {
        ...stages,
        /** The test may arm this very process for this very run: a worker that healed one run dies in the next. */
        async list({ path }) {
          const order = `${path}.arm`;
          const [pid, points = ''] = existsSync(order) ? readFileSync(order, 'utf8').split(' ') : [];
          armFailpoints(Number(pid) === process.pid ? points : '');
          return await stages.list({ path });
        },
      }),
    ];
  },
});
