// What lives here: pipelines that ask for much: many stages, large values.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the workers of their test.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { quick } from './pipelines.ts';

export interface Work {
  list(input: { n: number }): Promise<unknown[]>;
  each(input: unknown): Promise<unknown>;
}

const plan = stages<Work>({ list: quick, each: { ...quick, onSkip: { output: 'skipped' } } });
const common = { owner: 'tests', every: 'day', logic: '1', stages: plan } as const;

/** All at once, as a user writes it. */
export const wide = pipeline({
  name: 'wide',
  ...common,
  async run({ list, each }) {
    const items = await list({ n: 1 });
    const all = await Promise.all(items.map((item, at) => each.as(String(at))(item)));
    return { ended: all.length };
  },
});

/** One after the other. */
export const deep = pipeline({
  name: 'deep',
  ...common,
  async run({ list, each }) {
    const items = await list({ n: 1 });
    for (const [at, item] of items.entries()) await each.as(String(at))(item);
    return { ended: items.length };
  },
});

/** Arguments that the body makes: of so many bytes each, all at once. */
export const heavy = pipeline({
  name: 'heavy',
  ...common,
  async run({ list, each }) {
    const sizes = (await list({ n: 1 })) as number[];
    await Promise.all(sizes.map((size, at) => each.as(String(at))('é'.repeat(size / 2))));
    return { ended: sizes.length };
  },
});

/** A result of so many bytes. */
export const wordy = pipeline({
  name: 'wordy',
  ...common,
  async run({ list }) {
    const [size] = (await list({ n: 1 })) as number[];
    return 'x'.repeat(size!);
  },
});

/** An argument that is no JSON. */
export const odd = pipeline({
  name: 'odd',
  ...common,
  async run({ each }) {
    return await each({ big: 1n });
  },
});

export default pipelines(wide, deep, heavy, wordy, odd);
