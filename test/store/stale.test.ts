// What is promised here: whatever a worker did before it was stopped, and however late it goes on: what it was about is over, and it changes nothing.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CodedError } from '../../src/model/failure.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { openRun } from '../../src/store/runs.ts';
import { testSink } from '../flow/memory.ts';
import { type Attempt, World } from './stale-world.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

/** A late act either does nothing, or is told why; anything else is a fault of the act itself. */
async function act(attempt: Attempt): Promise<void> {
  try {
    await attempt.run();
  } catch (error) {
    if (!(error instanceof CodedError) && (error as { code?: unknown }).code !== 'MF001') throw error;
  }
}

type Step = (world: World, n: number) => Promise<void>;

async function changesNothing(world: World, one: Attempt): Promise<void> {
  const before = await world.whole();
  await act(one);
  expect(await world.whole(), `what "${one.name}" changed`).toEqual(before);
}

const thaw: Step = async (world, n) => {
  const one = world.stopped(n);
  if (one) await changesNothing(world, one);
};

/** While another worker does what is due: of two at once the late one changes nothing either. */
const thawBeside: Step = async (world, n) => {
  const one = world.stopped(n, true);
  await Promise.all([world.perform(), one && act(one)]);
};

const chosen =
  (step: (world: World) => Promise<void> | void): Step =>
  async (world, n) => {
    world.choice = n;
    await step(world);
  };

const steps: Readonly<Record<string, Step>> = {
  perform: chosen((world) => world.perform()),
  hold: chosen((world) => world.hold()),
  start: (world) => world.start(false),
  force: (world) => world.start(true),
  abort: (world) => world.abort(),
  terminate: (world) => Promise.resolve(world.terminate()),
  thaw,
  thawBeside,
};

const step = fc.tuple(
  fc.oneof(
    { weight: 12, arbitrary: fc.constant('perform') },
    { weight: 4, arbitrary: fc.constant('hold') },
    { weight: 3, arbitrary: fc.constantFrom('start', 'force') },
    { weight: 1, arbitrary: fc.constantFrom('abort', 'terminate') },
    { weight: 4, arbitrary: fc.constantFrom('thaw', 'thaw', 'thawBeside') },
  ),
  fc.nat(11),
);

/** Every kind of act is stopped once; random plans alone might miss one. The number chooses what is due next. */
const each = [
  ...['work', 'chunk', 'failed', 'look', 'skip', 'work'].flatMap((_due, n): [string, number][] => [
    ['hold', 0],
    ['perform', [1, 0, 3, 0, 2, 0][n]!],
  ]),
  ...[0, 0, 2].map((n): [string, number] => ['perform', n]),
  ...['done', 'close'].flatMap((): [string, number][] => [
    ['hold', 0],
    ['perform', 0],
  ]),
  ...(['force', 'perform', 'abort', 'hold', 'perform'] as const).map((name): [string, number] => [name, 1]),
];

it('changes nothing, wherever a worker was stopped and whatever happened meanwhile', async () => {
  const met = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (plan) => {
      const world = await World.open(sink.pool, sink.url);
      await world.start(false);
      for (const [name, n] of plan) {
        await steps[name]!(world, n);
        expect(await world.seen(), `after ${name}`).toEqual(world.expected);
      }
      // In the end everybody wakes, in the order in which they were stopped and in the other.
      const late = world.held.filter((one) => one.late);
      for (const one of [...late, ...late.toReversed()]) {
        await changesNothing(world, one);
        met.set(one.name, (met.get(one.name) ?? 0) + 1);
      }
    }),
    { numRuns: 20, endOnFailure: true, examples: [[each]] },
  );
  expect([...met.keys()].toSorted()).toEqual(
    ['chunk', 'close', 'done', 'failed', 'look', 'open', 'settle', 'skip', 'work'].toSorted(),
  );
}, 120_000);

it('opens nothing where it was stopped between the question whether it is wanted and its commit', async () => {
  const about = { pipeline: 'stale', dataDate: '2026-11-22', scope: '', workflowId: 'w', owner: '', input: {} };
  const run = { ...about, runKey: 'stale/2026-11-22' };
  let wake: ((wanted: boolean) => void) | undefined;
  const asked = new Promise<boolean>((resolve) => {
    wake = resolve;
  });
  let isAsking: (() => void) | undefined;
  const reached = new Promise<void>((resolve) => {
    isAsking = resolve;
  });
  const stopped = openRun(
    sink.pool,
    { ...run, execution: 'old' },
    {
      force: false,
      isWanted: () => {
        isAsking!();
        return asked;
      },
    },
  ).catch((error: unknown) => error);
  await reached;
  // Postgres ends the transaction that holds the lock, and whoever waits for it gets it.
  const wanted = { force: false, isWanted: () => Promise.resolve(true) };
  expect(await openRun(sink.pool, { ...run, execution: 'new' }, wanted)).toEqual({ generation: 1 });
  const closer = { generation: 1, execution: 'new', isWanted: wanted.isWanted };
  expect(await closeRun(sink.pool, run.runKey, { by: closer })).toMatchObject({ state: 'done' });
  wake!(true);
  expect(await stopped).toBeInstanceOf(Error);
  const { rows } = await sink.pool.query('select generation, state, workflow_run from mendflow.run where key = $1', [
    run.runKey,
  ]);
  expect(rows).toEqual([{ generation: 1, state: 'done', workflow_run: 'new' }]);
}, 60_000);

/** What would be wrong with the store: each has to be found out by the same plan, with everybody woken after each step. */
const broken: Readonly<Record<string, { readonly sql?: string; readonly believing?: true }>> = {
  'compares neither generation nor execution': {
    sql: `create or replace function mendflow.holds(k text, g int, e text) returns boolean language sql as 'select true'`,
  },
  'forgets which parks are over': {
    sql: `create function mendflow.forget() returns trigger language plpgsql as 'begin return null; end';
          create trigger forget before insert on mendflow.ended_park for each row execute function mendflow.forget()`,
  },
  'does not order what is said about a stage': {
    sql: `create function mendflow.unordered() returns trigger language plpgsql as 'begin new.attempt_at := ''-infinity''; return new; end';
          create trigger unordered before insert or update on mendflow.stage_run for each row execute function mendflow.unordered()`,
  },
  'opens and ends runs for whoever asks': { believing: true },
};

it.each(Object.entries(broken))('finds out a store that %s', async (_what, { sql, believing }) => {
  const own = await testSink();
  try {
    if (sql !== undefined) await own.pool.query(sql);
    const world = await World.open(own.pool, own.url);
    world.believing = believing === true;
    await world.start(false);
    const played = async (): Promise<void> => {
      for (const [name, n] of each) {
        await steps[name]!(world, n);
        for (const one of world.held) if (one.late) await changesNothing(world, one);
      }
    };
    await expect(played()).rejects.toThrow('changed: expected');
  } finally {
    await own.end();
  }
});
