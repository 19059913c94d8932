// What lives here: the next version of `line`, with a stage inserted before the one that parked.
// Invariant: same name, same stages otherwise.
// Apart because a run parked on version 1 has to go on with this bundle.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { quick, type Scripted } from './pipelines.ts';

interface Repaired extends Scripted {
  repair(input: string): Promise<string>;
}

export const line = pipeline({
  name: 'line',
  owner: 'tests',
  every: 'day',
  logic: '2',
  stages: stages<Repaired>({ first: quick, repair: quick, second: quick, third: quick }),
  async run({ first, repair, second, third }) {
    return await third(await second(await repair(await first({ n: 1 }))));
  },
});

export default pipelines(line);
