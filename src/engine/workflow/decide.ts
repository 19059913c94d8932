// What lives here: taking an operator's decision, by Update or by Signal.
// Invariant: taking is synchronous, so of two decisions in one workflow task exactly one wins and the other learns its name; a Signal never throws.
// Apart because races between people are won or lost in these few lines.
import { ApplicationFailure, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';
import {
  type Decided,
  type Decision,
  type DecisionKind,
  type Outcome,
  type Park,
  readDecision,
  readTrouble,
  readWake,
} from '../../model/messages.ts';
import { shellWord } from '../../model/shell.ts';
import { acceptsLoss, CLOSE_STAGE, isMendedHere } from '../../model/verdict.ts';
import { refreshDetails } from './details.ts';
import { record } from './heal.ts';
import { isGoneFrom } from '../../model/spec.ts';
import type { RunState, Waiting, Working } from './run-state.ts';

export const decideUpdate = defineUpdate<Outcome, [unknown]>('decide');
const signals: ReadonlyArray<readonly [string, DecisionKind | undefined, string]> = [
  [
    'resume',
    'retry',
    'Try the asking stage again. Input may be {"stage","token","reason","actor"}, or empty if one stage asks.',
  ],
  ['skip', 'skip', 'Go on without the asking stage (only where the pipeline declares onSkip).'],
  ['abort', 'abort', 'End the run; committed data stays, the rest is given up unread.'],
  [
    'decide',
    undefined,
    'Any decision: {"kind": "retry|skip|extend-budget|accept-loss|abort", "stage", "token", "reason", "actor", "attempts", "timeMs"}.',
  ],
];
export const troubleSignal = defineSignal<[unknown]>('trouble');
export const wakeSignal = defineSignal<[unknown]>('wake');

type Target =
  | { readonly on: 'run' }
  | { readonly on: 'parked'; readonly stage: string; readonly waiting: Waiting }
  | { readonly on: 'working'; readonly stage: string; readonly working: Working };
interface Refusal {
  readonly refused: string;
  readonly stage: string;
}

/** Called after the state was restored: signals that waited for the handlers arrive inside. */
export function registerDecisions(run: RunState): void {
  setHandler(decideUpdate, (raw) => take(run, raw), {
    validator: (raw) => {
      const repeated = repeatedAnswer(run, raw);
      if (repeated) return;
      const target = resolve(run, readDecision(raw));
      if ('refused' in target)
        throw ApplicationFailure.create({ type: 'decision_refused', message: target.refused, nonRetryable: true });
    },
    description: 'An operator decides: retry, skip, extend-budget, accept-loss or abort.',
  });
  for (const [name, kind, description] of signals)
    setHandler(defineSignal<[unknown]>(name), (raw) => void take(run, raw, kind), { description });
  setHandler(troubleSignal, (raw) => {
    // Anybody can send a signal of this name, and what throws here would fail the workflow task for ever.
    const trouble = readTrouble(raw);
    if (!trouble || !run.working.has(trouble.stage)) return;
    run.trouble.set(trouble.stage, trouble);
    refreshDetails(run);
  });
  setHandler(wakeSignal, (raw) => {
    // Only the park that it names, and only if it waits for an upstream: a late wake is for a park that is over.
    const wake = readWake(raw);
    const [key, found] = (wake && [...run.waiting].find(([, { park }]) => park.token === wake.token)) ?? [];
    if (!found || key === undefined) return;
    if (found.park.until === 'upstream' || isGoneFrom(run.spec, key)) found.wake(wake?.pass === true);
  });
}

function take(run: RunState, raw: unknown, kind?: DecisionKind): Outcome {
  const repeated = repeatedAnswer(run, raw);
  if (repeated) return repeated;
  const decision = readDecision(raw, kind);
  const target = resolve(run, decision);
  const outcome: Outcome =
    'refused' in target
      ? { taken: false, stage: target.stage, text: target.refused }
      : {
          taken: true,
          ...apply(run, target, decision as Decision),
          ...whenOf({ ...(decision as Decision), at: Date.now() }),
        };
  note(run, decision, target, outcome);
  refreshDetails(run);
  void record(run);
  return outcome;
}

/** Repeating the same decision for the same park is answered as the first time, with the time of that. */
function repeatedAnswer(run: RunState, raw: unknown): Outcome | undefined {
  const decision = readDecision(raw);
  if (typeof decision === 'string' || decision.token === undefined) return undefined;
  const before = Object.hasOwn(run.decided, decision.token) ? run.decided[decision.token] : undefined;
  if (!before || before.kind !== decision.kind || before.actor !== (decision.actor ?? 'unknown')) return undefined;
  if (before.attempts !== decision.attempts || before.timeMs !== decision.timeMs) return undefined;
  return { taken: true, stage: decision.stage ?? '', text: before.text, ...whenOf(before) };
}

const whenOf = ({ at, sending }: Pick<Decided, 'at' | 'sending'>): Pick<Outcome, 'at' | 'sending'> => ({
  ...(at === undefined ? {} : { at }),
  ...(sending === undefined ? {} : { sending }),
});

/** Finds what the decision is about, or the sentence that refuses it. Changes nothing, so a validator may call it. */
function resolve(run: RunState, decision: Decision | string): Target | Refusal {
  if (typeof decision === 'string') return { refused: decision, stage: '' };
  const asked = decision.stage ?? '';
  const refuse = (text: string): Refusal => ({ refused: text, stage: asked });
  if (run.closing || run.aborted)
    return refuse(
      `The run is ${run.aborted ? `being aborted by ${run.aborted.actor}` : 'closing'}; there is nothing left to decide.`,
    );
  if (decision.kind === 'abort') return { on: 'run' };
  const stale = staleToken(run, decision);
  if (stale !== undefined) return refuse(stale);
  if (decision.stage === undefined) {
    const all = [...run.waiting.keys()];
    // A token names its park as well as a stage does.
    const named = all.filter((key) => run.waiting.get(key)!.park.token === decision.token);
    const keys = named.length > 0 ? named : all;
    if (keys.length === 1) return allowed(keys[0]!, run.waiting.get(keys[0]!)!, decision);
    if (keys.length > 1) {
      const more = keys.length > NAMED_MAX ? ` and ${keys.length - NAMED_MAX} more` : '';
      return refuse(`Several stages are parked: ${keys.slice(0, NAMED_MAX).join(', ')}${more}. Name one.`);
    }
    const troubled = [...run.trouble.keys()].filter((key) => run.working.has(key));
    if (decision.kind === 'extend-budget' && troubled.length === 1)
      return extendable(troubled[0]!, run.working.get(troubled[0]!)!, decision);
    return refuse('No stage of this run is parked, so there is nothing to decide.');
  }
  const waiting = run.waiting.get(decision.stage);
  if (waiting) return allowed(decision.stage, waiting, decision);
  const working = run.working.get(decision.stage);
  if (working && decision.kind === 'extend-budget') return extendable(decision.stage, working, decision);
  if (working)
    return refuse(`Stage ${decision.stage} is under way, not parked; only extend-budget or abort can be decided now.`);
  if (Object.hasOwn(run.journal, decision.stage)) return refuse(`Stage ${decision.stage} is finished already.`);
  return refuse(`No stage "${decision.stage}" is parked in this run.`);
}

const NAMED_MAX = 10;

function staleToken(run: RunState, decision: Decision): string | undefined {
  if (decision.token === undefined) return undefined;
  for (const [key, waiting] of run.waiting) {
    if (waiting.park.token !== decision.token) continue;
    return decision.stage === undefined || decision.stage === key
      ? undefined
      : `Token ${decision.token} belongs to stage ${key}, not to ${decision.stage}.`;
  }
  const before = Object.hasOwn(run.decided, decision.token) ? run.decided[decision.token] : undefined;
  return before
    ? `This question was decided already: ${before.kind} by ${before.actor}${before.at === undefined ? '' : ` at ${new Date(before.at).toISOString()}`}. ${before.text}`
    : `Token ${decision.token} is of no question that is open now, perhaps of an earlier question; look at the run again.`;
}

function allowed(stage: string, waiting: Waiting, decision: Decision): Target | Refusal {
  const refuse = (text: string): Refusal => ({ refused: text, stage });
  if (decision.kind === 'skip' && !waiting.policy.onSkip)
    return refuse(
      `Stage ${stage} cannot be skipped: its policy declares no onSkip output. Retry it, or abort the run.`,
    );
  if (decision.kind === 'accept-loss' && !takesLoss(stage, waiting))
    return refuse(
      waiting.park.until === 'upstream'
        ? `Stage ${stage} waits for ${waiting.park.upstream ?? 'its upstream'} and loses nothing by waiting, so there is no loss to accept. Wait, retry it, or abort the run.`
        : isMendedHere(waiting.park.failure) && acceptsLoss(stage, 'decision', waiting.park, waiting.policy)
          ? `Stage ${stage} failed with ${waiting.park.failure.code}: code or settings are wrong, not the records, and accepting a loss would give up good ones. Mend that, then retry; or abort the run.`
          : `Stage ${stage} moves no records here, so there is no loss to accept. Retry it, or abort the run.`,
    );
  if (decision.kind === 'extend-budget') return extendable(stage, waiting, decision);
  return { on: 'parked', stage, waiting };
}

/** A park that an earlier release began does not say; then the policy does, as it did there. */
const takesLoss = (stage: string, { park, policy }: Waiting): boolean =>
  park.acceptsLoss ?? acceptsLoss(stage, park.until, park, policy);

function extendable(stage: string, at: Waiting | Working, decision: Decision): Target | Refusal {
  if ((decision.attempts ?? 0) <= 0 && (decision.timeMs ?? 0) <= 0)
    return {
      refused: 'extend-budget needs attempts or time to add, for example --attempts 4 --time "10 minutes".',
      stage,
    };
  return 'take' in at ? { on: 'parked', stage, waiting: at } : { on: 'working', stage, working: at };
}

function apply(run: RunState, target: Target, decision: Decision): { stage: string; text: string } {
  const actor = decision.actor ?? 'unknown';
  run.decisions++;
  if (target.on === 'run') {
    run.aborted = { actor, reason: decision.reason ?? 'no reason given' };
    run.scope.cancel();
    return {
      stage: '',
      text: 'The run ends: stages under way are stopped, committed data stays, the rest is given up unread.',
    };
  }
  if (target.on === 'working') {
    const had = run.extensions[target.stage] ?? { attempts: 0, timeMs: 0 };
    run.extensions[target.stage] = {
      attempts: had.attempts + (decision.attempts ?? 0),
      timeMs: had.timeMs + (decision.timeMs ?? 0),
    };
    return {
      stage: target.stage,
      text: `When the budget is spent, ${target.stage} goes on with ${decision.attempts ?? 0} more attempts.`,
    };
  }
  const text = isGoneFrom(run.spec, target.stage)
    ? `${target.stage} is not in the code that is deployed now; the run goes on without it.`
    : effects[decision.kind as Exclude<DecisionKind, 'abort'>](target.stage, target.waiting.park);
  const { kind, attempts, timeMs, sending } = decision;
  run.decided[target.waiting.park.token] = {
    kind,
    actor,
    text,
    at: Date.now(),
    ...(attempts === undefined ? {} : { attempts }),
    ...(timeMs === undefined ? {} : { timeMs }),
    ...(sending === undefined ? {} : { sending }),
  };
  run.waiting.delete(target.stage);
  target.waiting.take(decision);
  return { stage: target.stage, text };
}

const effects: Record<Exclude<DecisionKind, 'abort'>, (stage: string, park: Park) => string> = {
  retry: (stage, park) =>
    `${stage} is tried again now, with its whole budget${ifAdmitted(park, 'and waits for it again with its budget whole')}.`,
  skip: (stage) => `The run goes on without ${stage} and what it has not loaded.`,
  'extend-budget': (stage, park) =>
    `${stage} goes on now with the budget you added${ifAdmitted(park, 'and waits for it again; what you added is then gone, and it wakes with its whole budget')}.`,
  'accept-loss': (stage, { failure }) =>
    stage === CLOSE_STAGE
      ? 'The run is closed as degraded, with its bad records as letters.'
      : failure.code === 'rows_fewer'
        ? `${stage} deletes the rows that it does not make again; the run goes on and ends degraded.`
        : failure.code === 'volume_low'
          ? `${stage} goes on with what there is; the run ends degraded.`
          : `${stage} gives up what it has not read: told in bytes, for nobody knows its records, and skipped only where their number is known. The run goes on and ends degraded.`,
};

/** A breaker that is held lets through who was told to try; one that is open refuses him like everybody. */
const ifAdmitted = ({ until, upstream, failure }: Park, then: string): string =>
  until !== 'upstream' || upstream === undefined || failure.held !== undefined
    ? ''
    : ` if the breaker of ${upstream} lets a call through. If not it makes none, ${then}; \`mendflow breakers show ${shellWord(upstream)}\` says until when`;

function note(run: RunState, decision: Decision | string, target: Target | Refusal, outcome: Outcome): void {
  const known: Partial<Decision> = typeof decision === 'string' ? {} : decision;
  const token = 'on' in target && target.on === 'parked' ? target.waiting.park.token : (known.token ?? '');
  if (!outcome.taken) {
    run.refused.push(`${known.kind ?? 'a decision'} by ${known.actor ?? 'unknown'} was refused: ${outcome.text}`);
    if (run.refused.length > 5) run.refused.shift();
  }
  run.notes.push({
    stage: outcome.stage,
    token,
    kind: known.kind ?? 'unreadable',
    actor: known.actor ?? 'unknown',
    // A signal from the Web UI may come without one; it counts all the same.
    reason: known.reason === undefined || known.reason.trim() === '' ? 'no reason given' : known.reason,
    outcome,
    at: Date.now(),
  });
}
