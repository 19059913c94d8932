// What lives here: the pipelines of the engine's tests as somebody changed them: `line` calls its stages in another order.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { quick, type Scripted } from '../engine/pipelines.ts';

const line = pipeline({
  name: 'line',
  owner: 'tests',
  every: 'day',
  logic: '1',
  stages: stages<Scripted>({ first: quick, second: quick, third: quick }),
  async run({ first, second, third }) {
    await third('early');
    return await second(await first({ n: 1 }));
  },
});

export default pipelines(line);
