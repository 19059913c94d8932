// What lives here: golden-line with its first two stages the other way round: a change of code that no unfinished run survives.
// Invariant: only the order differs.
// Apart because the replay test has to be seen catching something.
import { pipeline, pipelines } from '../../src/engine/workflow/index.ts';
import { goldenLine } from './pipelines.ts';

export default pipelines(
  pipeline({
    ...goldenLine.spec,
    async run({ first, second, third }) {
      return await third(await first({ n: (await second('nothing yet')).length }));
    },
  }),
);
