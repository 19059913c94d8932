// What lives here: what a rule is: from one fact that a driver states to one code of ours.
// Invariant: rules are data; a fact has one rule, and further ones only for a stated circumstance (`in`, `says`, `asks`), which are looked at first.
// Apart because the tables beside it are read by people and changed one row at a time.
import type { Code, Commit } from '../failure.ts';

export interface Rule {
  /** The fact: an errno, a SQLSTATE or the first two signs of one, an HTTP status or `5xx`, a name. `HPE_*` stands for all that begin so. */
  readonly on: string;
  readonly code: Code;
  /** What is known about the effect, where it is not what the row of the code says. */
  readonly commit?: Commit;
  /** Only if the system call that failed looks like this. */
  readonly in?: RegExp;
  /** Only if the message looks like this. */
  readonly says?: RegExp;
  /** Only if the answer says when to come back. */
  readonly asks?: true;
  /** A general word: any other fact about the same failure knows more. */
  readonly weak?: true;
}

/** One rule for each of the facts, which are separated by blanks. */
export const rules = (code: Code, facts: string, more: Omit<Rule, 'on' | 'code'> = {}): Rule[] =>
  facts
    .trim()
    .split(/\s+/)
    .map((on) => ({ on, code, ...more }));

/** A table by its facts; what is bound to a circumstance comes first. */
export type RuleIndex = ReadonlyMap<string, readonly Rule[]>;

const isBound = ({ in: within, says, asks }: Rule): boolean =>
  within !== undefined || says !== undefined || asks === true;

export function indexOf(table: readonly Rule[]): RuleIndex {
  const index = new Map<string, Rule[]>();
  for (const rule of table) index.set(rule.on, [...(index.get(rule.on) ?? []), rule]);
  for (const [on, found] of index)
    index.set(
      on,
      found.toSorted((one, other) => Number(isBound(other)) - Number(isBound(one))),
    );
  return index;
}

/** What else is known beside the fact. */
export interface Circumstance {
  readonly syscall?: string | undefined;
  readonly message?: string | undefined;
  readonly asks?: boolean | undefined;
}

/** The rule of the first of these facts that has one; the facts go from the exact to the general. */
export function ruleFor(
  index: RuleIndex,
  facts: readonly string[],
  { syscall = '', message = '', asks = false }: Circumstance = {},
): Rule | undefined {
  for (const fact of facts)
    for (const rule of index.get(fact) ?? [])
      if ((rule.in?.test(syscall) ?? true) && (rule.says?.test(message) ?? true) && (rule.asks !== true || asks))
        return rule;
  return undefined;
}
