// What lives here: the pipeline as a value, and the types that make a wrong one not compile.
// Invariant: pure data and one function; nothing of Temporal or Node, so the CLI, the worker, the docs and a unit test read the same value.
// Apart because it is the one thing users write; everything else is derived from it.
import type { Segment } from '../flow/context.ts';
import { type Duration, parseDuration } from './duration.ts';

type AnyActivity = (input: never) => Promise<unknown>;
/** A stage without input is asked for first: its function would also pass as one of any input, and a call of it would then need an argument. */
type In<F> = F extends () => Promise<unknown> ? void : F extends (input: infer I) => Promise<unknown> ? I : never;
/** Wrapped in tuples: taken apart by its members, the unfinished end of a segment would make every output `unknown`. */
type Out<F> = F extends (...args: never[]) => Promise<infer R> ? ([R] extends [Segment<infer O>] ? O : R) : never;

/** First delay, growth and ceiling of the waits between attempts; each wait is spread by ±50 %. */
export interface Backoff {
  readonly first: Duration;
  readonly factor: number;
  readonly max: Duration;
}

/** How often and for how long the fast phase tries, counted from the first failure. Either end spends it. */
export interface Budget {
  readonly attemptsMax: number;
  readonly time: Duration;
}

/** What happens when a stage fails: all of it declared, nothing hidden. `Output` is the type a skip has to supply. */
export interface Policy<Output = unknown, Upstream extends string = string> {
  /** Hard end of one attempt. */
  readonly attempt: Duration;
  /** A worker silent for this long is taken for dead. */
  readonly heartbeat: Duration;
  readonly budget: Budget;
  readonly backoff: Backoff;
  /** After a spent budget that time can heal, one attempt each such interval. */
  readonly slow: Duration;
  /** Key of the declared upstream that the stage calls, such as `http:quake-api`: it then runs on the queue of that upstream, so that a hanging one starves nobody else. */
  readonly upstream?: Upstream;
  /**
   * `false` for a stage whose effect must not come twice and that has no key to tell a repetition by, such as a payment without one. It is then called
   * again only after failures that are known to have changed nothing; where that is in doubt the run asks, and a person looks first. What a failure is
   * known of is its own call, so the effect has to be one call, and the last thing that the stage does. A workflow that adopted stages gets it between
   * two executions, not in a running one. Default `true`.
   */
  readonly idempotent?: boolean;
  /** Makes the stage skippable: what the rest of the run gets instead of its output. */
  readonly onSkip?: { readonly output: Output };
  /** For stages that move records: share of bad records, 0..1, above which the stage stops and the run asks. */
  readonly quarantineShareMax?: number;
}

export type Plan<A, Upstream extends string = string> = { readonly [K in keyof A]: Policy<Out<A[K]>, Upstream> };

/** A stage as the body of a pipeline calls it; `as` names one of many calls of the same stage. */
export interface Stage<I, O> {
  (input: I): Promise<O>;
  as(key: string): (input: I) => Promise<O>;
}
export type Stages<A> = { readonly [K in keyof A]: Stage<In<A[K]>, Out<A[K]>> };

export interface FieldOf<T> {
  readonly kind: 'text' | 'number' | 'choice';
  readonly help: string;
  readonly of?: readonly T[];
  readonly default?: T;
}
export type Field = FieldOf<string> | FieldOf<number>;
export type Fields = Record<string, Field>;
export type InputOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends FieldOf<infer T> ? T : never };

/** An input of any text. */
export const text = (help: string, more: { default?: string } = {}): FieldOf<string> => ({
  kind: 'text',
  help,
  ...more,
});
/** An input that is a finite number. */
export const number = (help: string, more: { default?: number } = {}): FieldOf<number> => ({
  kind: 'number',
  help,
  ...more,
});
/** An input that is one of the given words. */
export const choice = <const T extends string>(help: string, ...of: readonly T[]): FieldOf<T> => ({
  kind: 'choice',
  of,
  help,
});

/** What the body of a pipeline is told; the data date was resolved once, when the run was started. */
export interface Run<I> {
  readonly dataDate: string;
  readonly input: I;
}

export interface Spec<A, F extends Fields, R> {
  /** Said once: workflow type, first part of run IDs and activity types. Lower case, words joined by `-`. */
  readonly name: string;
  readonly owner: string;
  /** One sentence for lists and the Web UI. */
  readonly about?: string;
  /** A file of the project, or of this package as `mendflow/ops/runbooks/…`. */
  readonly runbook?: string;
  /** Grain of the data date; with `timezone` and `offset` it gives the default: the last complete period. */
  readonly every: 'day' | 'hour' | 'none';
  readonly timezone?: string;
  /** How many whole periods before the last complete one; default 0. */
  readonly offset?: number;
  /** Version of what the data means; a higher one makes loaded dates stale. */
  readonly logic: string;
  readonly input?: F;
  /** Inputs that are part of the run's identity. */
  readonly scope?: readonly (keyof F & string)[];
  /** Parks never outlive it; then the run asks. */
  readonly deadline?: Duration;
  /** `'off'` fails loudly at the first spent budget: for scripts that are better repeated by hand. Default `'on'`. */
  readonly heal?: 'on' | 'off';
  /**
   * How many stages of one run may be under way at once on the slots that all pipelines share; those of an upstream have slots of their own.
   * Default 6, which leaves some of a worker's 8 to other runs; at most 50. More calls than that wait in order, as many as there are.
   */
  readonly stagesAtOnce?: number;
  readonly stages: Plan<A>;
  run(stages: Stages<A>, run: Run<InputOf<F>>): Promise<R>;
}

/** A spec whose types have done their work: what registries, the CLI and docs hold. */
export type AnySpec = Omit<Spec<Record<string, AnyActivity>, Fields, unknown>, 'run' | 'stages'> & {
  readonly stages: Readonly<Record<string, Policy>>;
};

/** Whether the code of today lacks the stage that a key is of. */
export const isGoneFrom = (spec: Pick<AnySpec, 'stages'>, key: string): boolean =>
  !key.startsWith('mendflow:') && !Object.hasOwn(spec.stages, key.split('[')[0]!);

/**
 * Checks a plan against the activities it is for: a stage without a policy, or a policy without a stage, does not compile.
 * `stages<Orders, ShopUpstream>({ … })`: nor does an upstream that is not one of these keys.
 */
export const stages = <A extends { [K in keyof A]: AnyActivity }, Upstream extends string = string>(
  plan: Plan<A, Upstream>,
): Plan<A> => plan;

/** Reserved for workflows of Mendflow itself. */
export const reservedNames: readonly string[] = ['breaker', 'incident', 'backfill', 'redrive', 'launch', 'watch'];

/** Everything wrong with a spec, in sentences; empty if nothing is. A registry refuses to boot on any of them. */
export function faultsOf(spec: AnySpec): string[] {
  const faults: string[] = [];
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(spec.name))
    faults.push(`Pipeline name "${spec.name}" has to be lower-case words joined by "-", such as "daily-report".`);
  if (reservedNames.includes(spec.name))
    faults.push(`Pipeline name "${spec.name}" is reserved for Mendflow's own workflows.`);
  if (Object.keys(spec.stages).length === 0) faults.push(`Pipeline "${spec.name}" declares no stage.`);
  for (const key of spec.scope ?? [])
    if (!Object.hasOwn(spec.input ?? {}, key))
      faults.push(`Pipeline "${spec.name}" names "${key}" in its scope, but has no such input.`);
  for (const [key, field] of Object.entries(spec.input ?? {}))
    if (field.kind === 'choice' && field.default !== undefined && !field.of?.some((word) => word === field.default))
      faults.push(`Input "${key}" of "${spec.name}" has the default "${field.default}", which is none of its words.`);
  if (spec.offset !== undefined && !(Number.isInteger(spec.offset) && spec.offset >= 0))
    faults.push(`Pipeline "${spec.name}" has offset ${spec.offset}; it is a whole number of periods, 0 or more.`);
  if (spec.deadline !== undefined && !isTime(spec.deadline))
    faults.push(`Pipeline "${spec.name}" has the deadline "${spec.deadline}"; write for example '12 hours'.`);
  const { stagesAtOnce: atOnce = 1 } = spec;
  if (!(Number.isInteger(atOnce) && atOnce >= 1 && atOnce <= 50))
    faults.push(`Pipeline "${spec.name}" has stagesAtOnce ${atOnce}; it is a whole number from 1 to 50.`);
  for (const [stage, policy] of Object.entries(spec.stages)) {
    if (!/^[a-zA-Z][a-zA-Z0-9]*$/.test(stage))
      faults.push(`Stage name "${stage}" of "${spec.name}" has to be a plain identifier.`);
    faults.push(...faultsOfPolicy(`${spec.name}/${stage}`, policy));
  }
  return faults;
}

/** Texts that compile as a duration may still be none, such as "1e3 seconds"; found at night they would stall the run that meets them. */
const isTime = (duration: Duration): boolean => (parseDuration(duration) ?? 0) > 0;

function faultsOfPolicy(stage: string, policy: Policy): string[] {
  const faults: string[] = [];
  const { attemptsMax } = policy.budget;
  if (!(attemptsMax >= 1)) faults.push(`Stage ${stage} allows no attempt (attemptsMax ${attemptsMax}).`);
  else if (!Number.isInteger(attemptsMax))
    faults.push(`Stage ${stage} has attemptsMax ${attemptsMax}; it is a whole number.`);
  if (!(policy.backoff.factor >= 1))
    faults.push(`Stage ${stage} has a backoff with factor ${policy.backoff.factor}; waits grow, so it is 1 or more.`);
  const times = {
    attempt: policy.attempt,
    heartbeat: policy.heartbeat,
    'budget.time': policy.budget.time,
    'backoff.first': policy.backoff.first,
    'backoff.max': policy.backoff.max,
    slow: policy.slow,
  };
  for (const [name, time] of Object.entries(times))
    if (!isTime(time)) faults.push(`Stage ${stage} has "${time}" as its ${name}; write for example '30 seconds'.`);
  const share = policy.quarantineShareMax;
  if (share !== undefined && !(share >= 0 && share <= 1))
    faults.push(`Stage ${stage} has quarantineShareMax ${share}; it is a share, 0 to 1.`);
  return faults;
}
