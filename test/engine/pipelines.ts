// What lives here: pipelines made for the engine's tests: few stages, short waits.
// Invariant: sandbox-safe, like a user's.
// Apart because Temporal bundles this file for the workers of the tests.
import { adopt, pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import type { Policy } from '../../src/model/spec.ts';

export interface Scripted {
  first(input: { n: number }): Promise<string>;
  second(input: string): Promise<string>;
  third(input: string): Promise<string>;
}
export interface Fan {
  list(input: { n: number }): Promise<string[]>;
  each(input: string): Promise<string>;
}

export const quick = {
  attempt: '20 seconds',
  heartbeat: '2 seconds',
  budget: { attemptsMax: 3, time: '20 seconds' },
  backoff: { first: '20 milliseconds', factor: 2, max: '100 milliseconds' },
  slow: '300 milliseconds',
} as const satisfies Policy;

const plan = stages<Scripted>({
  first: quick,
  second: { ...quick, onSkip: { output: 'skipped' }, quarantineShareMax: 0.5 },
  third: quick,
});
const common = { owner: 'tests', every: 'day', logic: '1', stages: plan } as const;

export const line = pipeline({
  name: 'line',
  ...common,
  async run({ first, second, third }) {
    return await third(await second(await first({ n: 1 })));
  },
});

export const loud = pipeline({
  name: 'loud',
  ...common,
  heal: 'off',
  async run({ first, second }) {
    return await second(await first({ n: 1 }));
  },
});

export const due = pipeline({
  name: 'due',
  ...common,
  deadline: '2 seconds',
  async run({ first }) {
    return await first({ n: 1 });
  },
});

export const twice = pipeline({
  name: 'twice',
  ...common,
  async run({ first }) {
    await first({ n: 1 });
    return await first({ n: 2 });
  },
});

export const fan = pipeline({
  name: 'fan',
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
export async function existing(n: number): Promise<string> {
  const { first } = adopt<Scripted>('existing', plan);
  return `existing got ${await first({ n })}`;
}

export default pipelines(line, loud, due, twice, fan);
