// What lives here: parse, validate and transform: what a user writes between a source and a table.
// Invariant: a step never throws for data: it passes a value on, leaves the record out, or says everything that is wrong with it.
// Apart from the reader, so that a step can be tested by calling it.
import { isExactNumber, readJson } from '../model/exact-json.ts';
import { ownPlacesOf } from './places.ts';
import type { Violation } from './types.ts';

/** What a step is told beside the value. Never a clock: the data date is the only time a transform knows. */
export interface RecordAbout {
  readonly offset: number;
  readonly line: number;
  readonly dataDate: string;
}

export type StepResult =
  | { readonly value: unknown }
  | { readonly skip: true }
  | { readonly code: string; readonly violations: readonly Violation[] };

/** From `In` to `Out`; a chain in which one step gives what the next does not take does not compile. */
export interface Step<In = never, Out = unknown> {
  readonly kind: 'parse' | 'validate' | 'transform';
  run(value: unknown, about: RecordAbout): StepResult;
  /** Never there: it only carries the types. */
  readonly types?: (value: In) => Out;
}

/** Texts of violations are sealed, but bounded all the same. */
const MESSAGE_MAX = 2_000;

const textOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, MESSAGE_MAX).toWellFormed();

/** A step that fails by itself is looked for in its code. */
function bad(code: string, error: unknown): StepResult {
  const [place] = error instanceof TypeError || error instanceof ReferenceError ? ownPlacesOf(error) : [];
  const message = `${textOf(error)}${place === undefined ? '' : ` (${place})`}`;
  const isSlip = place !== undefined && slip.test(textOf(error));
  return { code: 'record_invalid', violations: [{ field: '', code, message, ...(isSlip ? { place } : {}) }] };
}

/** What the language itself says of code that does what cannot be done; whoever throws to refuse a record says something else. */
const slip =
  /^Cannot (read|set|delete|add|define|assign|destructure|access|convert|use)\b|\bis not (a function|a constructor|defined|iterable|async iterable|an object)\b|^Assignment to constant variable|^Invalid attempt to /;

/** From the record (text of a line, or whatever the source delivers) to a value. What the function throws makes the record a letter. */
export const parse = <In = unknown, Out = unknown>(fn: (value: In, about: RecordAbout) => Out): Step<In, Out> => ({
  kind: 'parse',
  run(value, about) {
    try {
      return { value: fn(value as In, about) };
    } catch (error) {
      return bad('unparsable', error);
    }
  },
});

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly code?: string | undefined;
  readonly message: string;
}

/** What zod's schemas look like from here; any library with this shape will do. */
export interface Schema<Out = unknown> {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: Out }
    | { readonly success: false; readonly error: { readonly issues: readonly Issue[] } };
}

/** Checks a value against a schema and passes on what the schema makes of it. All violations are kept, not only the first. */
export const validate = <Out>(schema: Schema<Out>): Step<unknown, Out> => ({
  kind: 'validate',
  run(value) {
    try {
      const result = schema.safeParse(value);
      if (result.success) return { value: result.data };
      const violations = result.error.issues.map(({ path, code, message }) => ({
        field: path.map(String).join('.').toWellFormed(),
        code: code ?? 'invalid',
        message: `${message.slice(0, MESSAGE_MAX).toWellFormed()}${adviceFor(value, path)}`,
      }));
      return { code: 'record_invalid', violations };
    } catch (error) {
      return bad('unvalidatable', error);
    }
  },
});

/** A schema that wants a double says of a longer number that it is none; what to write instead, it cannot know. */
function adviceFor(value: unknown, path: readonly PropertyKey[]): string {
  const found = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
  return typeof found === 'bigint' || isExactNumber(found)
    ? ' It is a number with more digits than a double holds: take z.custom(isNumeric) to keep them, or z.preprocess(nearest, z.number()).'
    : '';
}

/** From a valid value to a row of the table. `undefined` or `null` leaves the record out (it counts as skipped); what it throws makes a letter. */
export const transform = <In, Row extends object>(
  fn: (value: In, about: RecordAbout) => Row | null | undefined,
): Step<In, Row> => ({
  kind: 'transform',
  run(value, about) {
    try {
      const row = fn(value as In, about);
      return row === undefined || row === null ? { skip: true } : { value: row };
    } catch (error) {
      return bad('untransformable', error);
    }
  },
});

/**
 * For `parse(json)`: JSON whose numbers keep every digit. A whole number beyond 2^53 is a bigint, any other that a double does not hold an
 * `ExactNumber`; both go into columns of numbers, texts and jsonb as they are.
 */
export const json = (text: string): unknown => readJson(text);
