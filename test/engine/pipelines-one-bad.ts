// What lives here: a pipeline whose runs each call one path of an upstream.
// Invariant: sandbox-safe, like a user's; eight tries, as the standard budget has, with waits of moments.
// Apart because Temporal bundles this file for the workers of the tests about one bad path.
import { pipeline, pipelines, stages, text } from '../../src/engine/workflow/index.ts';
import { quick } from './pipelines.ts';

interface Gets {
  get(input: { at: string; path: string }): Promise<number>;
}

export const paths = pipeline({
  name: 'paths',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { at: text('the upstream'), path: text('what to get') },
  scope: ['at', 'path'],
  stages: stages<Gets>({ get: { ...quick, budget: { attemptsMax: 8, time: '30 seconds' }, slow: '15 minutes' } }),
  async run({ get }, { input }) {
    return await get(input);
  },
});

export default pipelines(paths);
