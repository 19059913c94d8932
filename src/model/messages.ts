// What lives here: what travels between client, run and activities: decisions, parks, the call of a stage, the result of a run.
// Invariant: plain JSON, no record values, no secrets; every field survives a continue-as-new and an upgrade of the code.
// Apart because these shapes are stored in histories: they change only by adding.
import type { Failure } from './failure.ts';
import type { Grant, Why } from './retry-clock.ts';
import type { Policy } from './spec.ts';

export const decisionKinds = ['retry', 'skip', 'extend-budget', 'accept-loss', 'abort'] as const;
export type DecisionKind = (typeof decisionKinds)[number];

/** What an operator wants. Stage and token may be left out where exactly one stage asks. */
export interface Decision {
  readonly kind: DecisionKind;
  readonly stage?: string;
  readonly token?: string;
  readonly reason?: string;
  readonly actor?: string;
  /** extend-budget: attempts to add. */
  readonly attempts?: number;
  /** extend-budget: time to add, in ms. */
  readonly timeMs?: number;
  /** Tells one sending from the next of the same decision, whose answer may be that of the first. */
  readonly sending?: string;
}

/** The answer: taken once, or refused with a reason. */
export interface Outcome {
  readonly taken: boolean;
  readonly stage: string;
  /** For people: what happens now, or why not and what to do instead. */
  readonly text: string;
  /** Where it was taken: when, in ms, and by which sending. Another than one's own: it had been taken before. */
  readonly at?: number;
  readonly sending?: string;
}

/** A stage key holds a file name, whose bytes may each be escaped. */
const textLengthsMax = { stage: 2_000, token: 500, reason: 500, actor: 500, sending: 100 } as const;
/** Temporal counts attempts in whole numbers of 32 bits, and refuses anything else with a failed workflow task, again and again. */
const numbersMax = { attempts: 10_000, timeMs: 366 * 86_400_000 } as const;

/** Reads a decision from anything; a sentence says what is wrong with it. */
export function readDecision(value: unknown, kind?: DecisionKind): Decision | string {
  const raw: Record<string, unknown> =
    typeof value === 'string'
      ? { reason: value }
      : value !== null && typeof value === 'object' && !Array.isArray(value)
        ? { ...value }
        : {};
  const wanted = kind ?? raw['kind'];
  if (!decisionKinds.includes(wanted as DecisionKind)) return `The decision needs a kind: ${decisionKinds.join(', ')}.`;
  const decision: Record<string, unknown> = { kind: wanted };
  for (const [name, lengthMax] of Object.entries(textLengthsMax)) {
    const field = raw[name];
    if (field === undefined || field === null) continue;
    if (typeof field !== 'string' || field.length > lengthMax)
      return `"${name}" of the decision has to be a text of at most ${lengthMax} characters.`;
    // Postgres takes neither, and a decision that cannot be recorded would never be seen again.
    decision[name] = field.replaceAll('\0', '').toWellFormed();
  }
  for (const [name, max] of Object.entries(numbersMax)) {
    const field = raw[name];
    if (field === undefined || field === null) continue;
    if (typeof field !== 'number' || !Number.isInteger(field) || field < 0 || field > max)
      return `"${name}" of the decision has to be a whole number from 0 to ${max}.`;
    decision[name] = Math.abs(field);
  }
  return decision as unknown as Decision;
}

/** The last moment that a Date can say. */
const MOMENT_MAX = 8.64e15;

/** Reads what the guard tells, or what somebody typed under its name; undefined if it is anything else. */
export function readTrouble(value: unknown): Trouble | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const { stage, attempt, attemptsMax, code, text, nextTryAt } = value as Partial<Record<keyof Trouble, unknown>>;
  if (typeof stage !== 'string' || typeof code !== 'string' || code.length > 100) return undefined;
  if (typeof attempt !== 'number' || typeof attemptsMax !== 'number') return undefined;
  if (typeof nextTryAt !== 'number' || !(Math.abs(nextTryAt) <= MOMENT_MAX)) return undefined;
  return { stage, attempt, attemptsMax, code, text: typeof text === 'string' ? text.slice(0, 500) : '', nextTryAt };
}

/** What recovery tells a parked stage: go on. */
export interface WakeCall {
  /** Names the park; any other ignores it. */
  readonly token: string;
  /** Try as if an operator had said so: nobody asks about a held upstream any more, so somebody has to find out. */
  readonly pass?: true;
}

/** Reads what recovery sends, or what somebody typed under its name; undefined if it is anything else. */
export function readWake(value: unknown): WakeCall | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  const { token, pass } = value as Partial<Record<keyof WakeCall, unknown>>;
  if (typeof token !== 'string' || token.length > textLengthsMax.token) return undefined;
  return { token, ...(pass === true ? { pass } : {}) };
}

/** A stage that waits, holding nothing. */
export interface Park {
  readonly token: string;
  readonly until: 'upstream' | 'time' | 'decision';
  /** Key of the upstream whose breaker ends the wait (until upstream). */
  readonly upstream?: string;
  /** When it goes on by itself (until time) or becomes a question (until upstream), in ms. */
  readonly wakeAt?: number;
  readonly since: number;
  readonly failure: Failure;
  readonly attempts: number;
  readonly elapsedMs: number;
  readonly why: string;
  /** What was granted, where not all of it is spent yet. */
  readonly grant?: Grant;
  /** Whether `accept-loss` would do what it says here. Parks of before do not say. */
  readonly acceptsLoss?: boolean;
}

/** Second argument of every stage activity: what the guard has to know. */
export interface StageCall {
  readonly pipeline: string;
  readonly runKey: string;
  readonly stage: string;
  readonly dataDate: string;
  readonly generation: number;
  /** First execution of the chain of the run: with the generation it says for whom the attempt writes. */
  readonly execution?: string;
  readonly policy: Pick<Policy, 'budget' | 'backoff' | 'slow'> & {
    readonly quarantineShareMax?: number;
    readonly idempotent?: boolean;
  };
  readonly grant: Grant;
  /** Where the last segment of a flow ended, for people. */
  readonly at?: string;
  /** Token of the park that this call ends: its row goes, and never that of a later park. */
  readonly woken?: string;
  /** An operator said to try now: a breaker that is held open for a wrong setting lets this attempt through as its trial. */
  readonly decided?: true;
  /** `false`: when its budget is spent the stage does not wait, but asks or ends its run. */
  readonly parks?: false;
  /** Give up the rest instead of reading it; `skip`: the decision was to go on without the stage. */
  readonly acceptLoss?: {
    readonly actor: string;
    readonly reason: string;
    readonly skip?: boolean;
    /** Code of the question that was answered so. */
    readonly of?: string;
  };
}

/** First detail of the ApplicationFailure that ends a stage's activity. */
export interface StageFailure {
  readonly failure: Failure;
  /** Since the grant at hand began, as the ledger numbers them: those that ended with their worker, too. */
  readonly attempts: number;
  /** How many of them the budget is charged with. Absent: all. */
  readonly spent?: number;
  /** Since the first failure that the stage counts, also of earlier grants. */
  readonly elapsedMs: number;
  readonly why: Why;
  /** Whether the code of the stage has asked what it may lose: only then there is a loss to accept. Absent: nobody knows. */
  readonly moves?: boolean;
}

/** What the guard tells the run when a stage begins to have trouble, and ever more seldom while it lasts. */
export interface Trouble {
  readonly stage: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly code: string;
  readonly text: string;
  readonly nextTryAt: number;
}

export type Health = 'healthy' | 'retrying' | 'degraded' | 'parked' | 'asking' | 'aborted';
export const healthOrder: readonly Health[] = ['healthy', 'retrying', 'degraded', 'parked', 'asking', 'aborted'];

/** One stage in the summary of a run. */
export interface StageSummary {
  readonly stage: string;
  readonly state:
    | 'running'
    | 'retrying'
    | 'parked'
    | 'asking'
    | 'done'
    | 'skipped'
    | 'loss-accepted'
    | 'failed'
    | 'aborted';
  readonly attempts: number;
  readonly seconds: number;
  readonly code?: string;
}

/** The bins of a run, counted from the ledger by its closing transaction. */
export interface Totals {
  readonly read: number;
  readonly loaded: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly skipped: number;
}

/** What `start --wait --json` prints and the workflow returns. */
export interface RunSummary extends Totals {
  readonly run: string;
  /** `degraded`: done, and somebody accepted that something of it is lost. */
  readonly state: 'done' | 'degraded' | 'aborted' | 'failed' | 'already-done';
  readonly generation: number;
  readonly stages: readonly StageSummary[];
  /** Finished stages that are not listed, because there are many. */
  readonly stagesMore?: number;
  readonly decisions: number;
  readonly balanced: boolean;
  /** Where a loss was accepted: records and rows that are lost, as far as they can be counted, and bytes that nobody read. */
  readonly lost?: { readonly records: number; readonly bytes: number };
  /** What the pipeline's own body returned. */
  readonly result?: unknown;
  /** Why there is no result although the body returned one. */
  readonly resultLeftOut?: string;
}

/** The one argument of a pipeline workflow. */
export interface RunArgs {
  readonly dataDate: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly scope: string;
  /** Process the run again although it is done, as a new generation. */
  readonly force?: boolean;
  /** Continue-as-new: what the next execution needs to go on. Only the engine writes it. */
  readonly carry?: Carry;
  /** After this long in a park the run continues as new. Default 10 minutes; tests shorten it. */
  readonly carryAfterMs?: number;
}

export interface Carry {
  readonly generation: number;
  readonly openedAt: number;
  readonly deadlineAt?: number;
  readonly journal: Readonly<Record<string, unknown>>;
  readonly parks: Readonly<Record<string, Park>>;
  readonly parkNo: number;
  readonly summaries: Readonly<Record<string, StageSummary>>;
  /** Finished stages beyond those in `summaries`. */
  readonly finishedMore?: number;
  readonly decided: Readonly<Record<string, Decided>>;
  readonly decisions: number;
  readonly refused: readonly string[];
  /** Budget that was added while a stage was under way, and not needed yet. */
  readonly extensions?: Readonly<Record<string, Extension>>;
  /** A loss was accepted in one of its stages. */
  readonly lossAccepted?: true;
  /** By stage: how often it was done again because its output was lost. */
  readonly redone?: Readonly<Record<string, number>>;
  /** Waits that have ended before the body asked for their stage: what ended them still counts. */
  readonly woken?: Readonly<Record<string, { readonly park: Park; readonly wake: Wake }>>;
}

/** What `extend-budget` adds. */
export interface Extension {
  readonly attempts: number;
  readonly timeMs: number;
}

/** What ended a wait. */
export type Wake =
  | { readonly by: 'time' }
  | { readonly by: 'upstream'; readonly pass: boolean }
  | { readonly by: 'decision'; readonly decision: Decision };

/** A decision that was taken, by the token it was taken for. */
export interface Decided extends Pick<Decision, 'attempts' | 'timeMs' | 'sending'> {
  readonly kind: DecisionKind;
  readonly actor: string;
  readonly text: string;
  /** In ms. What an earlier release took does not say. */
  readonly at?: number;
}
