// What lives here: the same pipelines as they are deployed later; one calls its stages in another order.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the workers of the test.
import { pipeline, pipelines } from '../../src/engine/workflow/index.ts';
import { bodyBug, calm, common } from './stalled-pipelines.ts';

const reordered = pipeline({
  name: 'reordered',
  ...common,
  async run({ first, second }) {
    await first({ n: 2 });
    await second('now');
  },
});

export default pipelines(bodyBug, calm, reordered);
