// What lives here: a pipeline whose stage falls in the way its input names.
// Invariant: sandbox-safe, like a user's; what is told to workflow code holds no canary.
// Apart because Temporal bundles this file for the worker process of the tests.
import { pipeline, pipelines, stages, text } from 'mendflow/workflow';
import { quick } from '../pipelines.ts';

export interface Falls {
  fall(how: string): Promise<string>;
  hold(): Promise<string>;
}

export const falls = pipeline({
  name: 'falls',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { how: text('in which way') },
  scope: ['how'],
  stages: stages<Falls>({
    fall: { ...quick, upstream: 'http:hostile' },
    hold: { ...quick, budget: { ...quick.budget, attemptsMax: 1 }, slow: '2 minutes' },
  }),
  async run({ fall, hold }, { input: { how } }) {
    return how === 'stuck' ? await hold() : await fall(how);
  },
});

export default pipelines(falls);
