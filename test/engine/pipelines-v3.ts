// What lives here: `line` as it is deployed later still: `second` is called `other` now, and `third` is gone.
// Invariant: sandbox-safe, like a user's; the same pipeline by name.
// Apart because Temporal bundles this file for the workers of the test.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { quick, type Scripted } from './pipelines.ts';

export const line = pipeline({
  name: 'line',
  owner: 'tests',
  every: 'day',
  logic: '1',
  stages: stages<Pick<Scripted, 'first'> & { other(input: string): Promise<string> }>({ first: quick, other: quick }),
  async run({ first, other }) {
    return await other(await first({ n: 1 }));
  },
});

export default pipelines(line);
