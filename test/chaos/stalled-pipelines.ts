// What lives here: pipelines whose workflow task fails: by a mistake in the body, or once other code is deployed.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the workers of their test.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { quick } from '../engine/pipelines.ts';

export interface Two {
  first(input: { n: number }): Promise<{ deep?: { value: string } }>;
  second(input: string): Promise<string>;
}
export const common = {
  owner: 'tests',
  every: 'day',
  logic: '1',
  stages: stages<Two>({ first: quick, second: quick }),
} as const;

export const bodyBug = pipeline({
  name: 'body-bug',
  ...common,
  async run({ first }) {
    return (await first({ n: 1 })).deep!.value;
  },
});

export const calm = pipeline({
  name: 'calm',
  ...common,
  async run({ first }) {
    await first({ n: 1 });
  },
});

export const reordered = pipeline({
  name: 'reordered',
  ...common,
  async run({ first, second }) {
    await second('now');
    await first({ n: 2 });
  },
});

export default pipelines(bodyBug, calm, reordered);
