// What lives here: everything a run knows about itself, in one object made by the engine.
// Invariant: no module-level state; what must survive a continue-as-new is in `Carry`, all else can be lost without harm.
// Apart because decisions, stages and details all read and change it, and none of them owns it.
import { CancellationScope } from '@temporalio/workflow';
import type {
  Carry,
  Decided,
  Decision,
  Extension,
  Park,
  RunArgs,
  StageSummary,
  Trouble,
  Wake,
} from '../../model/messages.ts';
import { runKey } from '../../model/ids.ts';
import { ms } from '../../model/duration.ts';
import type { AnySpec, Policy } from '../../model/spec.ts';
import { type Door, openDoor } from './admission.ts';
import type { Note } from './heal.ts';
import { bytesOf } from '../../model/size.ts';

/** A stage that waits in its park, and how to wake it. */
export interface Waiting {
  readonly park: Park;
  readonly policy: Policy;
  /** Synchronous: consumes the token. */
  take(decision: Decision): void;
  /** The upstream is back, or a canary is sent to see; `pass`: as an operator's retry would be. */
  wake(pass: boolean): void;
}

/** A stage whose activity is scheduled: it may have trouble and be given more budget. */
export interface Working {
  readonly policy: Policy;
}

/** A park that an earlier execution began. */
export interface CarriedPark {
  readonly park: Park;
  readonly wake: Promise<Wake>;
  /** How it ended, while the body has not asked for the stage. */
  ended?: Wake;
}

export interface RunState {
  readonly spec: AnySpec;
  readonly args: RunArgs;
  readonly key: string;
  /** False in an adopted workflow: no ledger, no search attributes, waits are plain timers. */
  readonly ledger: boolean;
  /** Cancelled by an abort; all stages run below it. */
  readonly scope: CancellationScope;
  generation: number;
  readonly openedAt: number;
  readonly deadlineAt: number | undefined;
  readonly journal: Record<string, unknown>;
  /** Of keys and outputs, as they travel. */
  journalBytes: number;
  readonly parks: Record<string, Park>;
  parkNo: number;
  /** All that are not finished, and of the others some; see `finishedMore`. */
  readonly summaries: Record<string, StageSummary>;
  /** Finished stages beyond those in `summaries`. */
  finishedMore: number;
  /** The page is to be written anew, once, when this task is through. */
  pageIsDue: boolean;
  readonly door: Door;
  /** By token: what was decided, for whoever comes second. */
  readonly decided: Record<string, Decided>;
  decisions: number;
  readonly refused: string[];
  readonly waiting: Map<string, Waiting>;
  readonly working: Map<string, Working>;
  readonly trouble: Map<string, Trouble>;
  /** By stage: budget an operator added while it was under way; used when its own is spent. */
  readonly extensions: Record<string, Extension>;
  /** By stage: how often it was done again because its output was lost. */
  readonly redone: Record<string, number>;
  /** Somebody accepted a loss in one of its stages, so the run does not end as if nothing had happened. */
  lossAccepted: boolean;
  /** How it was closed, once it is. */
  closed: 'done' | 'degraded' | undefined;
  readonly called: Set<string>;
  aborted: { actor: string; reason: string } | undefined;
  closing: boolean;
  /** A park has lasted long enough, or history has grown: continue as new as soon as nothing is in flight. */
  wantsCarry: boolean;
  /** Stage calls that have not ended; closing waits for them. */
  active: number;
  /** Stages whose park has ended and whose activity is not scheduled yet: no moment to continue as new. */
  readonly waking: Set<string>;
  /** Parks carried into this execution, waited on before the body. */
  readonly carried: Map<string, CarriedPark>;
  /** Rows for the ledger that the recorder has not written yet. */
  readonly notes: Note[];
  recording: boolean;
}

export function openState(spec: AnySpec, args: RunArgs, ledger: boolean): RunState {
  const carry = args.carry;
  const openedAt = carry?.openedAt ?? Date.now();
  return {
    spec,
    args,
    key: runKey(spec.name, args.dataDate, args.scope),
    ledger,
    scope: new CancellationScope(),
    generation: carry?.generation ?? 1,
    openedAt,
    deadlineAt: carry ? carry.deadlineAt : spec.deadline === undefined ? undefined : openedAt + ms(spec.deadline),
    journal: { ...carry?.journal },
    journalBytes: carry === undefined ? 0 : bytesOf(carry.journal),
    parks: { ...carry?.parks },
    parkNo: carry?.parkNo ?? 0,
    summaries: { ...carry?.summaries },
    finishedMore: carry?.finishedMore ?? 0,
    pageIsDue: false,
    door: openDoor(),
    decided: { ...carry?.decided },
    decisions: carry?.decisions ?? 0,
    refused: [...(carry?.refused ?? [])],
    waiting: new Map(),
    working: new Map(),
    trouble: new Map(),
    extensions: { ...carry?.extensions },
    redone: { ...carry?.redone },
    lossAccepted: carry?.lossAccepted === true,
    closed: undefined,
    called: new Set(),
    aborted: undefined,
    closing: false,
    wantsCarry: false,
    active: 0,
    waking: new Set(),
    carried: new Map(),
    notes: [],
    recording: false,
  };
}

/** Tokens remembered for late-comers; older ones are in the ledger. */
const DECIDED_MAX = 50;

export function carryOf(run: RunState): Carry {
  const { generation, openedAt, deadlineAt, journal, parks, parkNo, summaries, decisions, refused } = run;
  const decided = Object.fromEntries(Object.entries(run.decided).slice(-DECIDED_MAX));
  const woken = [...run.carried].flatMap(([key, { park, ended }]) =>
    ended ? [[key, { park, wake: ended }] as const] : [],
  );
  return {
    generation,
    openedAt,
    ...(deadlineAt === undefined ? {} : { deadlineAt }),
    journal,
    parks,
    parkNo,
    summaries,
    decided,
    decisions,
    refused,
    ...(Object.keys(run.extensions).length > 0 ? { extensions: run.extensions } : {}),
    ...(run.lossAccepted ? { lossAccepted: true } : {}),
    ...(Object.keys(run.redone).length > 0 ? { redone: run.redone } : {}),
    ...(run.finishedMore > 0 ? { finishedMore: run.finishedMore } : {}),
    ...(woken.length > 0 ? { woken: Object.fromEntries(woken) } : {}),
  };
}

/** Remembers what a finished stage returned. */
export function keep(run: RunState, key: string, output: unknown): void {
  run.journal[key] = output;
  run.journalBytes += bytesOf(key) + bytesOf(output) + 2;
}

/** The stage is done anew when the body asks for it. */
export function forget(run: RunState, key: string): void {
  run.journalBytes -= bytesOf(key) + bytesOf(run.journal[key]) + 2;
  delete run.journal[key];
  if (run.summaries[key] === undefined && run.finishedMore > 0) run.finishedMore--;
}

export const pastDeadline = (run: RunState): boolean => run.deadlineAt !== undefined && Date.now() >= run.deadlineAt;
/** A stage between its wait and its attempt is no moment to carry; one that the body has not asked for may never be asked for. */
export const mayCarry = (run: RunState): boolean =>
  run.ledger &&
  run.wantsCarry &&
  run.working.size === 0 &&
  [...run.waking].every((key) => run.carried.get(key)?.ended) &&
  !run.aborted &&
  !run.closing;
