// What lives here: the types that make a wrong chain of steps, and a column that the table does not have, not compile.
// Invariant: types only; what is `unknown` may be anything and is judged when it runs, by the same names.
// Apart because nothing of it exists at run time.
import type { Step } from './steps.ts';
import type { Target } from './table.ts';

export type AnyStep = Step<never, unknown>;
export type AnySteps = readonly AnyStep[];

type InOf<S> = S extends { readonly types?: (value: infer In) => unknown } ? In : never;
type OutOf<S> = S extends { readonly types?: (value: never) => infer Out } ? Out : unknown;

/** What stands in the place of a step that does not take what the one before it gives. */
export interface StepMismatch<Given, Taken> {
  readonly 'the step before gives': Given;
  readonly 'this step takes': Taken;
}

type Fits<Given, Taken> = unknown extends Given ? true : [Given] extends [Taken] ? true : false;

/** The same steps, or a mismatch where one does not follow from the one before. */
export type Chain<S extends AnySteps, Given = unknown> = S extends readonly [
  infer First extends AnyStep,
  ...infer Rest extends AnySteps,
]
  ? readonly [
      Fits<Given, InOf<First>> extends true ? First : StepMismatch<Given, InOf<First>>,
      ...Chain<Rest, OutOf<First>>,
    ]
  : S;

/** What comes out of the last step. */
export type Last<S extends AnySteps> = S extends readonly [...unknown[], infer L] ? OutOf<L> : unknown;

/** Filled by the flow where the row does not say. */
type Filled = 'source_id' | 'offset' | 'line_no' | 'data_date' | 'generation';
type KeysOf<Row> = Row extends unknown ? keyof Row : never;

/** Nothing to ask for, or the columns that the table does not have. A column that no step gives stays null. */
export type ColumnsFit<Row, C extends string> = unknown extends Row
  ? unknown
  : string extends C | KeysOf<Row>
    ? unknown
    : [Exclude<KeysOf<Row>, C | Filled>] extends [never]
      ? unknown
      : { readonly 'the table has no column': Exclude<KeysOf<Row>, C | Filled> };

export type Fitting<S extends AnySteps, C extends string> = Target<C> & ColumnsFit<Last<S>, C>;
