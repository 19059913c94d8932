// What is promised here: mistakes in a pipeline do not compile. Each `@ts-expect-error` fails the type check if its mistake ever compiles.
import { describe, expect, expectTypeOf, it } from 'vitest';
import { activitiesOf, type OpenUpstreams, project, serve, upstreams } from 'mendflow/worker';
import { runHere } from 'mendflow/testing';
import { adopt, choice, flakyApi, local, number, pipeline, stages, text, warehouse } from 'mendflow/workflow';
import type { Bins, Segment } from 'mendflow/flow';

const reportActivities = () => ({
  extract: async ({ dataDate }: { dataDate: string }) => ({ rows: dataDate.length }),
  load: async (_input: { rows: number }): Promise<Segment<Bins>> => ({
    done: true,
    out: { read: 1, loaded: 1, duplicate: 0, quarantined: 0, skipped: 0 },
  }),
  prepare: async () => 'ready' as const,
});
type Report = ReturnType<typeof reportActivities>;
const otherActivities = () => ({ list: async (_input: { path: string }) => ['a'] });

const plan = stages<Report>({ extract: flakyApi, load: warehouse, prepare: local });
const report = pipeline({
  name: 'report',
  owner: 'tests',
  every: 'day',
  logic: '1',
  input: {
    path: text('a path'),
    format: choice('line format', 'plain', 'log4j'),
    limit: number('how many', { default: 5 }),
  },
  scope: ['path'],
  stages: plan,
  async run({ prepare, extract, load }, { dataDate, input }) {
    expectTypeOf(input).toEqualTypeOf<{
      readonly path: string;
      readonly format: 'plain' | 'log4j';
      readonly limit: number;
    }>();
    // A stage without input is called without one, and an output comes out of its segment.
    expectTypeOf(await prepare()).toEqualTypeOf<'ready'>();
    const bins = await load(await extract.as('first')({ dataDate }));
    expectTypeOf(bins).toEqualTypeOf<Bins>();
    return bins.loaded;
  },
});

/** Compiled and never called. */
const mistakes = {
  'a stage without a policy': () =>
    // @ts-expect-error
    stages<Report>({ extract: flakyApi, load: warehouse }),

  'a policy without a stage': () =>
    // @ts-expect-error
    stages<Report>({ extract: flakyApi, load: warehouse, prepare: local, publish: local }),

  'a skip output of the wrong type': () =>
    // @ts-expect-error
    stages<Report>({ extract: { ...flakyApi, onSkip: { output: null } }, load: warehouse, prepare: local }),

  'a misspelt duration': () =>
    // @ts-expect-error
    stages<Report>({ extract: { ...flakyApi, attempt: '30 minuets' }, load: warehouse, prepare: local }),

  'an upstream that is not one of those declared': () =>
    stages<Report, 'http:shop'>({
      // @ts-expect-error
      extract: { ...flakyApi, upstream: 'http:shpo' },
      load: warehouse,
      prepare: local,
    }),

  'a call of an upstream that the project does not declare': () =>
    project({
      workflows: new URL('file:///x'),
      upstreams: upstreams({ 'http:shop': { address: 'https://shop.example.com' } }),
      serve: (_sink, open) => {
        open.at('http:shop');
        // @ts-expect-error
        open.at('http:shpo');
        return [];
      },
    }),

  'activities made for another upstream': (made: (open: OpenUpstreams<'http:shpo'>) => []) =>
    project({
      workflows: new URL('file:///x'),
      upstreams: upstreams({ 'http:shop': { address: 'https://shop.example.com' } }),
      // @ts-expect-error
      serve: (_sink, open) => made(open),
    }),

  'a bare number as a time': () =>
    // @ts-expect-error
    stages<Report>({ extract: { ...flakyApi, slow: 900 }, load: warehouse, prepare: local }),

  'a policy without a budget': () => {
    const { budget: _budget, ...rest } = flakyApi;
    // @ts-expect-error
    return stages<Report>({ extract: rest, load: warehouse, prepare: local });
  },

  'the wrong input of a stage': () =>
    pipeline({
      name: 'x',
      owner: 'x',
      every: 'day',
      logic: '1',
      stages: plan,
      async run({ load }) {
        // @ts-expect-error
        return await load({ rows: 'many' });
      },
    }),

  'an input that was not declared': () =>
    pipeline({
      name: 'x',
      owner: 'x',
      every: 'day',
      logic: '1',
      stages: plan,
      async run({ extract }, { input }) {
        // @ts-expect-error
        return await extract({ dataDate: input.path });
      },
    }),

  'a scope that names no input': () =>
    pipeline({
      name: 'x',
      owner: 'x',
      every: 'day',
      logic: '1',
      input: { path: text('a path') },
      // @ts-expect-error
      scope: ['paht'],
      stages: plan,
      run: async () => 1,
    }),

  'a grain that does not exist': () =>
    // @ts-expect-error
    pipeline({ name: 'x', owner: 'x', every: 'fortnight', logic: '1', stages: plan, run: async () => 1 }),

  "another pipeline's activities": () =>
    // @ts-expect-error
    activitiesOf([serve(report, otherActivities())]),

  'activities without one of the stages': () => {
    const { load: _load, ...rest } = reportActivities();
    // @ts-expect-error
    return serve(report, rest);
  },

  'a word outside of a choice': () =>
    runHere(
      report,
      // @ts-expect-error
      { dataDate: '2026-01-01', input: { path: 'a', format: 'xml', limit: 1 } },
      { prepare: () => 'ready', extract: () => ({ rows: 1 }), load: () => 1 },
    ),

  'a test without the inputs of the pipeline': () =>
    // @ts-expect-error
    runHere(report, { dataDate: '2026-01-01' }, { prepare: () => 1, extract: () => 1, load: () => 1 }),

  'a test without one of the stages': () =>
    // @ts-expect-error
    runHere(report, { dataDate: '2026-01-01', input: { path: 'a', format: 'plain', limit: 1 } }, { prepare: () => 1 }),

  'a stage that an adopting workflow did not take': async () => {
    const taken = adopt('existing', stages<Pick<Report, 'extract'>>({ extract: flakyApi }));
    expectTypeOf(await taken.extract({ dataDate: 'x' })).toEqualTypeOf<{ rows: number }>();
    // @ts-expect-error
    await taken.load({ rows: 1 });
  },
};

describe('a pipeline', () => {
  it('compiles where it is right, and runs without infrastructure', async () => {
    const { result, calls } = await runHere(
      report,
      { dataDate: '2026-01-01', input: { path: 'a', format: 'plain', limit: 1 } },
      {
        prepare: () => 'ready',
        extract: ({ dataDate }) => ({ rows: dataDate.length }),
        load: ({ rows }) => ({
          done: true,
          out: { read: rows, loaded: rows, duplicate: 0, quarantined: 0, skipped: 0 },
        }),
      },
    );
    expect({ result, calls }).toEqual({ result: 10, calls: ['prepare', 'extract[first]', 'load'] });
  });

  it(`does not compile with any of ${Object.keys(mistakes).length} mistakes`, () => {
    expect(Object.values(mistakes).every((mistake) => typeof mistake === 'function')).toBe(true);
  });

  it('called twice under one name is refused in a test as on a server', async () => {
    const twice = pipeline({
      name: 'twice',
      owner: 'tests',
      every: 'none',
      logic: '1',
      stages: stages<Pick<Report, 'prepare'>>({ prepare: local }),
      async run({ prepare }) {
        await prepare();
        return await prepare();
      },
    });
    await expect(runHere(twice, { dataDate: 'none' }, { prepare: () => 1 })).rejects.toThrow(
      'Stage prepare was called twice in one run',
    );
  });
});
