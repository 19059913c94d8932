// What lives here: pipelines of one call each, with deadlines near and far.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the worker processes of the tests about recovery.
import { pipeline, pipelines, type Policy, stages, text } from 'mendflow/workflow';

interface Calls {
  ask(input: { id: string }): Promise<number>;
}

const policy = {
  attempt: '20 seconds',
  heartbeat: '2 seconds',
  budget: { attemptsMax: 3, time: '1 minute' },
  backoff: { first: '200 milliseconds', factor: 2, max: '1 second' },
  slow: '1 second',
} as const satisfies Policy;

const calling = (name: string, upstream: string, deadline: '1 hour' | '1 day') =>
  pipeline({
    name,
    owner: 'tests',
    every: 'day',
    logic: '1',
    deadline,
    input: { id: text('tells runs apart') },
    scope: ['id'],
    stages: stages<Calls>({ ask: { ...policy, upstream } }),
    async run({ ask }, { input: { id } }) {
      return await ask({ id });
    },
  });

export const soon = calling('soon', 'http:api', '1 hour');
export const late = calling('late', 'http:api', '1 day');
/** The same upstream, undeclared what it takes: what happens without pace and waves. */
export const wild = calling('wild', 'http:wild', '1 day');

export default pipelines(soon, late, wild);
