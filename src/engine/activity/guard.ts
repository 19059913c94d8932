// What lives here: the guard around every stage: it keeps the budget, names the failure, sets the next delay, and keeps the attempt alive.
// Invariant: only coded ApplicationFailures leave it, without `cause`, because Temporal writes causes into history with the driver's text;
// cancellation and shutdown pass through untouched and cost no attempt, but for a shutdown in the middle of what must not come twice.
// Apart because it is the one retry layer: no client, driver or stage retries by itself.
import { hostname } from 'node:os';
import { activityInfo, CompleteAsyncError, Context, getClient, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory, CancelledFailure } from '@temporalio/common';
import { classify } from '../../model/classify.ts';
import { ms } from '../../model/duration.ts';
import { CodedError, type Failure } from '../../model/failure.ts';
import type { StageCall, StageFailure, Trouble } from '../../model/messages.ts';
import {
  afterFailure,
  asks,
  emptyTally,
  mayHaveHappened,
  type Next,
  type Tally,
  standBack,
} from '../../model/retry-clock.ts';
import { answerTooLarge, bytesOf, OUTPUT_BYTES_MAX } from '../../model/size.ts';
import { withCaller } from '../../connectors/caller.ts';
import { toldName } from '../../model/told.ts';
import type { OpenUpstreams } from '../../connectors/upstream.ts';
import { temporalClock } from './clock.ts';
import { withStage, type StageContext } from './context.ts';
import { withPlace } from './mistake.ts';
import { withStrays } from './strays.ts';
import { tellLog } from './tell-log.ts';

/** Where the guard leaves its rows; every method is best effort, and none may reject. */
export interface StageLog {
  started(call: StageCall, attempt: number, worker: string): Promise<void>;
  /** A breaker admitted no call: what `started` counted was no attempt. */
  refused(call: StageCall, attempt: number, failed: Failure): Promise<void>;
  failed(
    call: StageCall,
    attempt: number,
    ended: StageFailure,
    nextDelayMs: number | undefined,
    worker: string,
  ): Promise<void>;
  done(call: StageCall, attempt: number, worker: string): Promise<void>;
}

interface Beat {
  readonly tally: Tally;
  /** Records were committed since the last failure, so the budget starts anew. */
  readonly progressed: boolean;
}

/** What the attempt at hand has done so far. */
interface Pulse {
  tally: Tally;
  progressed: boolean;
  moves: boolean;
}

const SEGMENT_MS = 45_000;
/** Who was answered so shortly before a call failed first was answered meanwhile, too. */
const MEANWHILE_MS = 60_000;
const worker = `${hostname()}:${process.pid}`;

type StageCode = (input: unknown) => Promise<unknown>;

/** What stands around every stage of a worker. */
export interface Around {
  readonly stageLog?: StageLog;
  readonly segmentMs?: number;
  /** Retries of failures of an upstream are paid from its budget; without it they are free. */
  readonly upstreams?: Pick<OpenUpstreams, 'spendRetry' | 'isOpen' | 'answersOthers'>;
}

/** Wraps the code of a stage as the activity that Temporal calls. */
export function guarded(code: StageCode, around: Around = {}) {
  const { stageLog, segmentMs = SEGMENT_MS } = around;
  return async (input: unknown, call: StageCall): Promise<unknown> => {
    const info = activityInfo();
    const clock = temporalClock();
    const before = readBeat(info.heartbeatDetails);
    const beat: Pulse = { tally: before.tally, progressed: before.progressed, moves: false };
    const losses = Math.max(0, info.attempt - 1 - beat.tally.ended);
    // For people: an attempt that died with its worker was one too, though it is not charged to the budget.
    const attempt = call.grant.attemptBase + beat.tally.failures + losses + 1;
    const fell = new AbortController();
    const context = contextOf(call, { attempt, losses, segmentMs, fell: fell.signal }, beat);
    const { cancellationSignal: cancelled } = Context.current();
    // An attempt whose end was not seen, such as one whose output could not be encoded, may have had its effect.
    if (losses > 0 && call.policy.idempotent === false)
      throw await failed(new CodedError('worker_lost'), call, attempt - 1, beat, {
        ...around,
        clock,
        begun: undefined,
      });
    const begun = stageLog?.started(call, attempt, worker);
    if (isTold(info.attempt) && beat.tally.failures > 0)
      void tell(call, { attempt: attempt - 1, code: beat.tally.lastCode ?? 'unknown', nextTryAt: clock() });
    const stop = keepAlive(info.heartbeatTimeoutMs, beat);
    try {
      const output = await withStrays({ run: call.runKey, stage: call.stage, fell }, () =>
        withCaller(callerOf(call), () => withStage(context, () => code(input))),
      );
      // A flow that was told to stop hands back an unfinished segment: after a shutdown that is an orderly end, after a cancellation it is none.
      if (!isDone(output)) {
        if (cancelled.aborted && !Context.current().cancellationDetails?.workerShutdown) endedByCancellation(beat);
        return output;
      }
      // Found by Temporal's client it would be called again and again, with the whole effect each time.
      const bytes = bytesOf(output);
      if (bytes > OUTPUT_BYTES_MAX) throw answerTooLarge(call.stage, bytes);
      await stageLog?.done(call, attempt, worker);
      return output;
    } catch (error) {
      if (error instanceof CompleteAsyncError) throw error;
      const cut = cancelled.aborted && wasCut(error, call);
      if (cancelled.aborted && !cut) endedByCancellation(beat);
      throw await failed(cut ? new CodedError('worker_lost') : error, call, attempt, beat, {
        ...around,
        clock,
        begun,
      });
    } finally {
      stop();
    }
  };
}

function contextOf(
  call: StageCall,
  { attempt, losses, segmentMs, fell }: { attempt: number; losses: number; segmentMs: number; fell: AbortSignal },
  beat: Pulse,
): StageContext {
  const context = Context.current();
  const { acceptLoss } = call;
  return {
    pipeline: call.pipeline,
    runKey: call.runKey,
    stage: call.stage,
    dataDate: call.dataDate,
    generation: call.generation,
    ...(call.execution === undefined ? {} : { execution: call.execution }),
    attempt,
    idempotencyKey: `${call.runKey}/${call.stage}/${call.generation}`,
    signal: AbortSignal.any([context.cancellationSignal, fell]),
    onChunk: () => {
      beat.progressed = true;
      context.heartbeat({ tally: beat.tally, progressed: true } satisfies Beat);
    },
    attemptAt: context.info.currentAttemptScheduledTimestampMs,
    holder: worker,
    segmentMs,
    quarantineShareMax: call.policy.quarantineShareMax ?? 1,
    losses,
    // Who moves records asks for this; who does not has no loss that could be accepted.
    get acceptLoss() {
      beat.moves = true;
      return acceptLoss;
    },
    ...(call.decided ? { decided: true } : {}),
  };
}

/** A third of the timeout: two beats may be lost before the worker is taken for dead. A blocked event loop sends none, as it should. */
function keepAlive(heartbeatTimeoutMs: number | undefined, beat: Beat): () => void {
  if (!heartbeatTimeoutMs) return () => undefined;
  const context = Context.current();
  const timer = setInterval(
    () => context.heartbeat({ tally: beat.tally, progressed: beat.progressed }),
    Math.max(50, heartbeatTimeoutMs / 3),
  );
  return () => clearInterval(timer);
}

const isDone = (output: unknown): boolean =>
  !(output !== null && typeof output === 'object' && 'done' in output && output.done === false);

/** A worker that is told to stop in the middle of what must not come twice cannot hand it on: somebody has to look first. A run that is cancelled hands nothing on. */
const wasCut = (error: unknown, { policy }: StageCall): boolean =>
  Context.current().cancellationDetails?.cancelRequested !== true && mayHaveHappened(classify(error), policy);

/** A worker that shuts down hands the stage on: the attempt is counted as ended, not as failed. */
function endedByCancellation(beat: Pulse): never {
  const context = Context.current();
  context.heartbeat({
    tally: { ...beat.tally, ended: beat.tally.ended + 1 },
    progressed: beat.progressed,
  } satisfies Beat);
  const reason = context.cancellationSignal.reason as unknown;
  throw reason instanceof CancelledFailure ? reason : new CancelledFailure('CANCELLED');
}

async function failed(
  error: unknown,
  call: StageCall,
  attempt: number,
  beat: Pulse,
  {
    stageLog,
    upstreams,
    begun,
    clock,
  }: Around & {
    readonly begun: Promise<void> | undefined;
    readonly clock: () => number;
  },
): Promise<ApplicationFailure> {
  const { grant, policy } = call;
  // The tally travels between workers, so its times are Temporal's. A date in an answer without a date of its own is compared with the best that is known.
  const now = clock();
  const named = withPlace(classify(error, { now }), error);
  const { next, failure: known } = affordable(
    afterFailure(beat.tally, named, {
      policy: { ...policy, attempt: '1 minute', heartbeat: '1 minute' },
      grant,
      now,
      random: Math.random(),
      progressed: beat.progressed,
    }),
    named,
    { call, now, upstreams },
  );
  Context.current().heartbeat({ tally: next.tally, progressed: false } satisfies Beat);
  const elapsedMs = Math.max(0, now - (grant.firstFailureAt ?? next.tally.firstFailureAt ?? now));
  const ended: StageFailure = {
    failure: known,
    // The number that the ledger and the log have, or a park would tell of fewer attempts than they.
    attempts: attempt - grant.attemptBase - (known.code === 'breaker_open' ? 1 : 0),
    spent: next.tally.failures,
    elapsedMs,
    why: next.next === 'stop' ? next.why : 'time spent',
    moves: beat.moves,
  };
  const nextDelayMs = next.next === 'retry' ? next.delayMs : undefined;
  tellLog(error, call, attempt, ended, next);
  if (known.code === 'breaker_open') {
    await begun;
    await stageLog?.refused(call, attempt, known);
  } else await stageLog?.failed(call, attempt, ended, nextDelayMs, worker);
  if (nextDelayMs !== undefined && nextDelayMs > 60_000)
    void tell(call, { attempt, code: known.code, nextTryAt: now + nextDelayMs });
  const what = { message: known.text, type: known.code, details: [ended], ...(isExpected(known) ? benign : {}) };
  return next.next === 'retry'
    ? ApplicationFailure.create({ ...what, nextRetryDelay: Math.max(1, next.delayMs) })
    : ApplicationFailure.create({ ...what, nonRetryable: true });
}

/** What waits for others is no fault of this house: Temporal then counts it as none and logs nothing. */
const isExpected = ({ code }: Failure): boolean => code === 'breaker_open' || code === 'http_404_not_yet';
const benign = { category: ApplicationFailureCategory.BENIGN } as const;

/**
 * Each retry is paid from the budget of the upstream that failed: in a storm of failures most runs then wait instead of adding to it.
 * Who would wait for a time while the breaker of that upstream is open waits for the breaker: it knows better when to come back.
 */
function affordable(
  next: Next,
  failure: Failure,
  { call, now, upstreams }: { readonly call: StageCall; readonly now: number; readonly upstreams: Around['upstreams'] },
): { readonly next: Next; readonly failure: Failure } {
  const { upstream } = failure;
  if (upstream === undefined || !upstreams || asks(failure, next)) return { next, failure };
  const paid = next.next === 'retry' && upstreams.spendRetry(upstream);
  if (paid) return { next, failure };
  if (upstreams.isOpen(upstream)) return { next: { next: 'stop', why: 'not admitted', tally: next.tally }, failure };
  if (next.next === 'retry') return standBack(next, failure, Math.random());
  // Since shortly before it failed first; in the slow phase, since its last try.
  const elapsedMs = now - (next.tally.firstFailureAt ?? now) + MEANWHILE_MS;
  const spanMs = call.grant.attemptBase > 0 ? Math.max(elapsedMs, ms(call.policy.slow)) : elapsedMs;
  const isSpent = next.why === 'attempts spent' || next.why === 'time spent';
  return isSpent && failure.fault === 'upstream' && upstreams.answersOthers(upstream, callerOf(call), spanMs)
    ? { next: { ...next, why: 'others answered' }, failure }
    : { next, failure };
}

/** Whose calls these are; kept in the control store, where runs have their names anyway. */
const callerOf = ({ runKey, stage }: StageCall): string => `${runKey} ${stage}`;

/** Each time costs a few events, so the run is told at the second attempt, the fourth, the eighth and so on. */
const isTold = (attempt: number): boolean => attempt >= 2 && Number.isInteger(Math.log2(attempt));

/** Lets the run show that it retries: workflow code cannot see attempts. Failing to tell costs a line in the Web UI, nothing else. */
async function tell(call: StageCall, trouble: Pick<Trouble, 'attempt' | 'code' | 'nextTryAt'>): Promise<void> {
  const { workflowExecution } = activityInfo();
  if (workflowExecution === undefined) return;
  const message: Trouble = {
    stage: call.stage,
    attemptsMax: call.grant.attemptBase + call.grant.attemptsMax,
    text: '',
    ...trouble,
  };
  try {
    // That very execution: a later one of the same run has nothing to do with this attempt.
    await getClient()
      .workflow.getHandle(workflowExecution.workflowId, workflowExecution.runId)
      .signal('trouble', message);
  } catch (error) {
    log.debug('The run was not told about a retry.', {
      run: call.runKey,
      error: toldName(error),
    });
  }
}

function readBeat(details: unknown): Beat {
  const beat = details as Partial<Beat> | null | undefined;
  return beat && typeof beat === 'object' && beat.tally
    ? { tally: { ...emptyTally, ...beat.tally }, progressed: beat.progressed === true }
    : { tally: emptyTally, progressed: false };
}
