// What lives here: a spec becomes a workflow: open, wait on carried parks, run the body, close, or continue as new.
// Invariant: finished stages answer from the journal; only this file continues as new; a run closes once, by its balance.
// Apart because this is the frame around the user's function, and the only part that knows both ends of a run.
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import type { RunArgs, RunSummary, Totals } from '../../model/messages.ts';
import { standard } from '../../model/policy.ts';
import {
  type AnySpec,
  type Fields,
  isGoneFrom,
  type Plan,
  type Policy,
  type Run,
  type Spec,
  type Stage,
  type Stages,
} from '../../model/spec.ts';
import { CLOSE_STAGE } from '../../model/verdict.ts';
import { healQueueOf, stageKey, upstreamQueueOf } from '../../model/ids.ts';
import { registerDecisions } from './decide.ts';
import { refreshDetails, showLetters } from './details.ts';
import { type Closed, type CloseInput, type Healing, OPEN, record, settle, writerOf } from './heal.ts';
import { abortedRun, failedRun, PipelineFailed } from './outcome.ts';
import { type CarriedPark, carryOf, mayCarry, openState, type RunState } from './run-state.ts';
import { bytesOf, inMegabytes, RESULT_BYTES_MAX } from '../../model/size.ts';
import { runStage, waitInPark } from './stage.ts';

export interface Pipeline<A, F extends Fields, R> {
  (args: RunArgs): Promise<RunSummary>;
  readonly spec: Spec<A, F, R>;
}

/** Declares a pipeline: the value that the worker serves, the CLI lists and `runHere` tests. */
// The empty object is the type of "no inputs declared"; Record<string, never> would refuse every spec that has some.
export function pipeline<A, R, F extends Fields = Record<never, never>>(spec: Spec<A, F, R>): Pipeline<A, F, R> {
  const workflow = (args: RunArgs): Promise<RunSummary> => runPipeline(spec as unknown as AnyPipelineSpec, args);
  return Object.assign(workflow, { spec });
}

type AnyPipelineSpec = AnySpec & {
  run(stages: Record<string, Stage<unknown, unknown>>, run: Run<Readonly<Record<string, unknown>>>): Promise<unknown>;
};

/** Opening and closing are stages like others, on the healing queue: when the ledger is away they park and come back. */
const ledgerPolicy: Policy = { ...standard, attempt: '2 minutes', heartbeat: '10 seconds', slow: '1 minute' };
const CLOSE = CLOSE_STAGE;

async function runPipeline(spec: AnyPipelineSpec, args: RunArgs): Promise<RunSummary> {
  const run = openState(spec, args, true);
  // Carried parks wait before the handlers exist: a decision that was sent meanwhile arrives inside setHandler and has to find them.
  void run.scope.run(() => Promise.resolve(waitInCarriedParks(run)));
  registerDecisions(run);
  refreshDetails(run);
  try {
    const ended = await run.scope.run(() => untilDoneOrCarried(run, spec));
    await condition(() => !run.recording && allHandlersFinished());
    if (ended !== 'carry') return ended;
  } catch (error) {
    return await end(run, error);
  }
  const { force: _once, ...opened } = args;
  // A run that is carried before it could be opened still has to be opened as it was asked for.
  const again = Object.hasOwn(run.journal, OPEN) ? opened : args;
  return await continueAsNew<(next: RunArgs) => Promise<RunSummary>>({ ...again, carry: carryOf(run) });
}

async function untilDoneOrCarried(run: RunState, spec: AnyPipelineSpec): Promise<RunSummary | 'carry'> {
  const body = work(run, spec);
  // The body is left behind when the run continues as new; its rejection then has nobody to hear it.
  body.catch(() => undefined);
  return await Promise.race([
    body,
    condition(() => mayCarry(run) && !run.recording && allHandlersFinished()).then(() => 'carry' as const),
  ]);
}

async function work(run: RunState, spec: AnyPipelineSpec): Promise<RunSummary> {
  const healQueue = healQueueOf(workflowInfo().taskQueue);
  const ledgerStage = (key: string, type: string, summary: string, input: unknown): Promise<unknown> =>
    runStage(run, { type, key, policy: ledgerPolicy, taskQueue: healQueue, summary }, input);
  const opened = (await ledgerStage(OPEN, 'mendflow/open', 'open the run in the ledger', {
    force: run.args.force === true,
    scope: run.args.scope,
    owner: spec.owner,
    workflowId: workflowInfo().workflowId,
    input: run.args.input,
  })) as Awaited<ReturnType<Healing['open']>>;
  run.generation = opened.generation;
  if (opened.already) return summary(run, 'already-done', opened.already, true);
  await firstPark(run);
  const result = await spec.run(callable(run, spec), { dataDate: run.args.dataDate, input: run.args.input });
  const closed = (await ledgerStage(
    CLOSE,
    'mendflow/close',
    'close the run by its balance',
    closingOf(run, spec),
  )) as Closed;
  run.closing = true;
  run.closed = closed.state === 'degraded' ? 'degraded' : 'done';
  showLetters(run, closed.openLetters);
  refreshDetails(run);
  void record(run);
  return {
    ...summary(run, run.closed, closed, closed.balanced),
    ...lossOf(run, closed),
    ...resultOf(result),
  };
}

/** The run is done, whatever the body returned: what does not travel is left out and said, because Temporal would refuse the end of the run for ever. */
function resultOf(result: unknown): Pick<RunSummary, 'result' | 'resultLeftOut'> {
  if (result === undefined) return {};
  const bytes = bytesOf(result);
  if (bytes <= RESULT_BYTES_MAX) return { result };
  return {
    resultLeftOut: `The body returned ${inMegabytes(bytes)}; at most ${inMegabytes(RESULT_BYTES_MAX)} are kept of it, so it was left out. Return counts or a reference.`,
  };
}

const closingOf = (run: RunState, spec: AnySpec): CloseInput => ({
  limits: Object.fromEntries(
    Object.entries(spec.stages).flatMap(([stage, { quarantineShareMax: share }]) =>
      share === undefined ? [] : [[stage, share]],
    ),
  ),
  lossAccepted: run.lossAccepted,
});

const lossOf = (run: RunState, { lost = 0, uncountedBytes = 0 }: Closed): Pick<RunSummary, 'lost'> =>
  run.closed === 'degraded' ? { lost: { records: lost, bytes: uncountedBytes } } : {};

function waitInCarriedParks(run: RunState): void {
  for (const [key, park] of Object.entries(run.args.carry?.parks ?? {})) {
    // Of a stage that is gone from the code of today the wait goes on all the same: the history of this execution may hold it already.
    // Watch ends it, or whoever decides; nobody will ask for the stage then, and the body goes on without it.
    const isGone = isGoneFrom(run.spec, key);
    const policy = key === OPEN || key === CLOSE || isGone ? ledgerPolicy : run.spec.stages[key.split('[')[0]!]!;
    const carried: CarriedPark = { park, wake: waitInPark(run, { key, policy }, park) };
    // Whoever runs the stage hears how the wait ended; until then a cancellation has no other listener.
    carried.wake.then(
      (wake) => {
        carried.ended = wake;
        if (!isGone) return;
        run.carried.delete(key);
        run.waking.delete(key);
        delete run.summaries[key];
      },
      () => undefined,
    );
    run.carried.set(key, carried);
  }
  for (const [key, { park, wake }] of Object.entries(run.args.carry?.woken ?? {}))
    run.carried.set(key, { park, wake: Promise.resolve(wake), ended: wake });
}

/**
 * A run that was carried waits on its parks before the body, so that whatever code is deployed when it wakes goes on from the journal.
 * The parks of several stages are independent: the first one that wakes lets the body go on, where the others wait in their stages.
 */
async function firstPark(run: RunState): Promise<void> {
  if (run.carried.size > 0) await Promise.race([...run.carried.values()].map((one) => one.wake));
}

function callable(run: RunState, spec: AnySpec): Record<string, Stage<unknown, unknown>> {
  const made: Record<string, Stage<unknown, unknown>> = {};
  for (const [name, policy] of Object.entries(spec.stages)) {
    const call = (part: string) => {
      const key = stageKey(name, part);
      return async (input: unknown): Promise<unknown> => {
        if (run.called.has(key))
          throw ApplicationFailure.nonRetryable(
            `Stage ${key} was called twice in one run. Give each call a name of its own: ${name}.as(file.name)(…).`,
            'stage_called_twice',
          );
        run.called.add(key);
        // An adopting workflow has its own workers, which know no queue of ours.
        const { upstream } = policy;
        const queue =
          run.ledger && upstream !== undefined ? upstreamQueueOf(workflowInfo().taskQueue, upstream) : undefined;
        const target = {
          type: `${spec.name}/${name}`,
          key,
          policy,
          ...(queue === undefined ? {} : { taskQueue: queue }),
        };
        return run.ledger ? runStage(run, target, input) : untilAborted(run, () => runStage(run, target, input));
      };
    };
    made[name] = Object.assign(call(''), { as: call });
  }
  return made;
}

/**
 * A stage of an adopting workflow. Its code does not run below the run's scope, so an abort has to be carried to the stage; what it means
 * for the rest of the workflow is for that code to say.
 */
async function untilAborted(run: RunState, stage: () => Promise<unknown>): Promise<unknown> {
  const scope = new CancellationScope();
  void run.scope.cancelRequested.catch(() => scope.cancel());
  try {
    return await scope.run(stage);
  } catch (error) {
    if (!run.aborted || !isCancellation(error)) throw error;
    throw ApplicationFailure.nonRetryable(`Aborted by ${run.aborted.actor}: ${run.aborted.reason}`, 'aborted');
  }
}

/** Everything but success: an abort, a cancellation from outside, healing off, or an error in the body itself. */
async function end(run: RunState, error: unknown): Promise<RunSummary> {
  const cancelled = isCancellation(error);
  const outside = cancelled && !run.aborted;
  if (outside) run.aborted = { actor: 'unknown', reason: 'cancellation was requested' };
  if (!cancelled && !(error instanceof PipelineFailed) && !(error instanceof ApplicationFailure)) throw error;
  return await CancellationScope.nonCancellable(async () => {
    run.closing = true;
    run.scope.cancel();
    await condition(() => run.active === 0);
    const by = run.aborted ?? { actor: 'mendflow', reason: (error as Error).message };
    const totals = await settle({ ...writerOf(run), state: run.aborted ? 'aborted' : 'failed', ...by });
    for (const [key, one] of Object.entries(run.summaries))
      if (one.state === 'running' || one.state === 'parked' || one.state === 'asking')
        run.summaries[key] = { ...one, state: 'aborted' };
    for (const key of Object.keys(run.parks)) delete run.parks[key];
    refreshDetails(run);
    await record(run);
    await condition(() => !run.recording && allHandlersFinished());
    const result = summary(run, run.aborted ? 'aborted' : 'failed', totals, totals.balanced);
    if (outside) throw error;
    if (run.aborted) throw abortedRun(run.aborted, result);
    if (error instanceof PipelineFailed) throw failedRun(error, result);
    throw error;
  });
}

function summary(run: RunState, state: RunSummary['state'], totals: Totals, balanced: boolean): RunSummary {
  const { read, loaded, duplicate, quarantined, skipped } = totals;
  const stages = Object.values(run.summaries).filter((one) => !one.stage.startsWith('mendflow:'));
  return {
    run: run.key,
    state,
    generation: run.generation,
    read,
    loaded,
    duplicate,
    quarantined,
    skipped,
    stages,
    ...(run.finishedMore > 0 ? { stagesMore: run.finishedMore } : {}),
    decisions: run.decisions,
    balanced,
  };
}

/**
 * Lets an existing workflow take single stages: same plan, same guard, parks and decisions; no ledger of its own.
 * Call it inside the workflow function, once; the worker serves the stages with `guardedStages` of mendflow/worker under the same name.
 */
export function adopt<A>(name: string, plan: Plan<A>, more: { owner?: string } = {}): Stages<A> {
  const spec: AnySpec = {
    name,
    owner: more.owner ?? 'unknown',
    every: 'none',
    logic: '1',
    stages: plan as Readonly<Record<string, Policy>>,
  };
  const info = workflowInfo();
  const run = openState(spec, { dataDate: 'none', input: {}, scope: info.workflowId }, false);
  registerDecisions(run);
  return callable(run, spec) as unknown as Stages<A>;
}
