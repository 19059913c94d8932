// What lives here: parse, validate and transform: what a user writes between a source and a table.
// Invariant: a step never throws for data: it passes a value on, leaves the record out, or says everything that is wrong with it.
// Apart from the reader, so that a step can be tested by calling it.
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

export interface Step {
  readonly kind: 'parse' | 'validate' | 'transform';
  run(value: unknown, about: RecordAbout): StepResult;
}

/** Texts of violations are sealed, but bounded all the same. */
const MESSAGE_MAX = 2_000;

const textOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, MESSAGE_MAX).toWellFormed();

const bad = (code: string, error: unknown): StepResult => ({
  code: 'record_invalid',
  violations: [{ field: '', code, message: textOf(error) }],
});

/** From the record (text of a line, or whatever the source delivers) to a value. What the function throws makes the record a letter. */
export const parse = (fn: (value: never, about: RecordAbout) => unknown): Step => ({
  kind: 'parse',
  run(value, about) {
    try {
      return { value: fn(value as never, about) };
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
export interface Schema {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: unknown }
    | { readonly success: false; readonly error: { readonly issues: readonly Issue[] } };
}

/** Checks a value against a schema and passes on what the schema makes of it. All violations are kept, not only the first. */
export const validate = (schema: Schema): Step => ({
  kind: 'validate',
  run(value) {
    try {
      const result = schema.safeParse(value);
      if (result.success) return { value: result.data };
      const violations = result.error.issues.map(({ path, code, message }) => ({
        field: path.map(String).join('.').toWellFormed(),
        code: code ?? 'invalid',
        message: message.slice(0, MESSAGE_MAX).toWellFormed(),
      }));
      return { code: 'record_invalid', violations };
    } catch (error) {
      return bad('unvalidatable', error);
    }
  },
});

/** From a valid value to a row of the table. `undefined` or `null` leaves the record out (it counts as skipped); what it throws makes a letter. */
export const transform = (fn: (value: never, about: RecordAbout) => object | null | undefined): Step => ({
  kind: 'transform',
  run(value, about) {
    try {
      const row = fn(value as never, about);
      return row === undefined || row === null ? { skip: true } : { value: row };
    } catch (error) {
      return bad('untransformable', error);
    }
  },
});

/** For `parse(json)`: JSON whose numbers survive. A number that JavaScript cannot hold exactly is a violation, not another number. */
export function json(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // Strings are blanked first, so that digits in them are not taken for numbers.
  for (const [literal] of text.replace(/"(?:[^"\\]|\\.)*"/g, '""').matchAll(/-?\d[\d.eE+-]*/g))
    if (!survives(literal))
      throw new RangeError(`The number ${literal.slice(0, 60)} cannot be kept exactly; send it as a string.`);
  return value;
}

/** Fifteen significant digits always survive; longer ones are compared. */
function survives(literal: string): boolean {
  const digits = literal
    .replace(/[eE].*$/, '')
    .replace(/[^\d]/g, '')
    .replace(/^0+/, '');
  const number = Number(literal);
  if (!Number.isFinite(number)) return false;
  if (digits.length <= 15) return number !== 0 || !/[1-9]/.test(digits);
  return /^-?\d+$/.test(literal) ? BigInt(literal) === BigInt(number) : digits.length <= 17;
}
