// What lives here: pipelines whose budgets and deadlines are a second or two, for the rules that are about time.
// Invariant: sandbox-safe, like a user's.
// Apart from pipelines.ts because their figures belong to the rules they test.
import { pipeline, pipelines, stages } from '../../src/engine/workflow/index.ts';
import { type Fan, quick, type Scripted } from './pipelines.ts';

const common = { owner: 'tests', every: 'day', logic: '1' } as const;

/** Many at once, with a budget of two seconds from the first failure. */
export const crowd = pipeline({
  name: 'crowd',
  ...common,
  stages: stages<Fan>({ list: quick, each: { ...quick, budget: { attemptsMax: 6, time: '2 seconds' } } }),
  async run({ list, each }) {
    const names = await list({ n: 1 });
    return await Promise.all(names.map((name) => each.as(name)(name)));
  },
});

/** An attempt may take a second, and two are all there are. */
export const hang = pipeline({
  name: 'hang',
  ...common,
  stages: stages<Pick<Scripted, 'first'>>({
    first: { ...quick, attempt: '1 second', budget: { attemptsMax: 2, time: '20 seconds' }, slow: '15 minutes' },
  }),
  async run({ first }) {
    return await first({ n: 1 });
  },
});

/** One attempt only: nothing that is not the stage's own failure may cost it. */
export const once = pipeline({
  name: 'once',
  ...common,
  stages: stages<Pick<Scripted, 'first' | 'second'>>({
    first: { ...quick, attempt: '1 minute', budget: { attemptsMax: 1, time: '20 seconds' }, slow: '15 minutes' },
    second: quick,
  }),
  async run({ first, second }) {
    return await second(await first({ n: 1 }));
  },
});

/** Due two seconds after it was opened. */
export const due = pipeline({
  name: 'due',
  ...common,
  deadline: '2 seconds',
  stages: stages<Pick<Scripted, 'first'>>({ first: { ...quick, slow: '15 minutes' } }),
  async run({ first }) {
    return await first({ n: 1 });
  },
});

/** What must not come twice. */
export const payment = pipeline({
  name: 'payment',
  ...common,
  stages: stages<Pick<Scripted, 'first'>>({
    first: { ...quick, attempt: '1 second', idempotent: false, slow: '15 minutes' },
  }),
  async run({ first }) {
    return await first({ n: 1 });
  },
});

/** The same, and it moves records and may be skipped. */
export const invoice = pipeline({
  name: 'invoice',
  ...common,
  stages: stages<Pick<Scripted, 'second'>>({
    second: { ...quick, idempotent: false, quarantineShareMax: 0.5, onSkip: { output: 'sent by hand' } },
  }),
  async run({ second }) {
    return await second('one');
  },
});

export default pipelines(crowd, hang, once, due, payment, invoice);
