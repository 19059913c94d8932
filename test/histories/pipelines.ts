// What lives here: the pipelines whose histories are kept in test/histories/.
// Invariant: the order of their stages never changes; what replays differently is then the engine.
// Apart from the other test pipelines, which may change with their tests.
import { adopt, pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { type Fan, quick, type Scripted } from '../engine/pipelines.ts';

const plan = stages<Scripted>({
  first: quick,
  second: { ...quick, onSkip: { output: 'skipped' }, quarantineShareMax: 0.5 },
  third: quick,
});
const common = { owner: 'tests', every: 'day', logic: '1', stages: plan } as const;

export const goldenLine = pipeline({
  name: 'golden-line',
  ...common,
  async run({ first, second, third }) {
    return await third(await second(await first({ n: 1 })));
  },
});

export const goldenLoud = pipeline({
  name: 'golden-loud',
  ...common,
  heal: 'off',
  async run({ first, second }) {
    return await second(await first({ n: 1 }));
  },
});

export const goldenDue = pipeline({
  name: 'golden-due',
  ...common,
  deadline: '2 seconds',
  async run({ first }) {
    return await first({ n: 1 });
  },
});

export const goldenFan = pipeline({
  name: 'golden-fan',
  owner: 'tests',
  every: 'day',
  logic: '1',
  stages: stages<Fan>({ list: quick, each: { ...quick, onSkip: { output: 'skipped' } } }),
  async run({ list, each }) {
    const names = await list({ n: 1 });
    return await Promise.all(names.map((name) => each.as(name)(name)));
  },
});

/** A workflow that is not a pipeline and takes one stage. */
export async function goldenExisting(n: number): Promise<string> {
  const { first } = adopt<Scripted>('golden-existing', plan);
  return `existing got ${await first({ n })}`;
}

export default pipelines(goldenLine, goldenLoud, goldenDue, goldenFan);
