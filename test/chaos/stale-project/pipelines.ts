// What lives here: a pipeline of one stage that does as its input says.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the worker processes of the tests about stopped workers.
import { choice, pipeline, pipelines, type Policy, stages, text } from 'mendflow/workflow';

interface Steps {
  step(input: { id: string; how: string }): Promise<string>;
}

const policy = {
  attempt: '10 minutes',
  heartbeat: '2 seconds',
  budget: { attemptsMax: 3, time: '2 seconds' },
  backoff: { first: '200 milliseconds', factor: 2, max: '1 second' },
  slow: '1 second',
} as const satisfies Policy;

export const work = pipeline({
  name: 'work',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { id: text('tells runs apart'), how: choice('what its stage does', 'end', 'ask', 'wait', 'call') },
  scope: ['id'],
  stages: stages<Steps>({ step: policy }),
  async run({ step }, { input }) {
    return await step(input);
  },
});

export default pipelines(work);
