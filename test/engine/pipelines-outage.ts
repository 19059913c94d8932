// What lives here: pipelines whose one stage calls an upstream.
// Invariant: sandbox-safe, like a user's; short waits, so that an outage of seconds is a long one.
// Apart because Temporal bundles this file for the workers of the tests about outages.
import { pipeline, pipelines, stages, text } from '../../src/engine/workflow/index.ts';
import { quick } from './pipelines.ts';

export interface Calls {
  ask(input: { id: string }): Promise<number>;
}

const plan = stages<Calls>({ ask: { ...quick, upstream: 'http:api' } });

/** One call to `http:api`; as many runs a day as there are IDs. */
export const call = pipeline({
  name: 'call',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { id: text('tells runs apart') },
  scope: ['id'],
  stages: plan,
  async run({ ask }, { input: { id } }) {
    return await ask({ id });
  },
});

/** The same, with a deadline. */
export const due = pipeline({
  name: 'due',
  owner: 'tests',
  every: 'day',
  logic: '1',
  deadline: '4 seconds',
  input: { id: text('tells runs apart') },
  scope: ['id'],
  stages: plan,
  async run({ ask }, { input: { id } }) {
    return await ask({ id });
  },
});

/** One call to a neighbour. */
export const well = pipeline({
  name: 'well',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: { id: text('tells runs apart') },
  scope: ['id'],
  stages: stages<Calls>({ ask: { ...quick, upstream: 'http:well' } }),
  async run({ ask }, { input: { id } }) {
    return await ask({ id });
  },
});

export default pipelines(call, due, well);
