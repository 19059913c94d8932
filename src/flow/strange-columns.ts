// What lives here: columns that the steps give and the table has not.
// Invariant: none is dropped in silence. Of one record it is a violation, like any other; where every row of a chunk has it, it is the code's mistake and nothing is written.
// Apart because a misspelt column would otherwise load nothing but nulls, and nobody would see it.
import { CodedError } from '../model/failure.ts';
import { filled, type Target } from './table.ts';
import type { Violation } from './types.ts';

/** What the rows of a chunk had so far. */
export interface Strange {
  rows: number;
  /** Columns that every row had and the table has not; undefined before the first row. */
  common: readonly string[] | undefined;
}

/** One row alone may be odd by itself. */
const ROWS_MIN = 2;
const NAMES_MAX = 5;
const PICKED_MAX = 3;
/** Columns that no step gives. */
const given: ReadonlySet<string> = new Set([...filled, 'source_id', 'offset']);
const plainName = /^[A-Za-z_]\w{0,62}$/;

const namesOf = new WeakMap<Target, ReadonlySet<string>>();
function knownIn(target: Target): ReadonlySet<string> {
  let known = namesOf.get(target);
  if (!known) namesOf.set(target, (known = new Set([...target.columns.map(({ name }) => name), ...filled])));
  return known;
}

/** Columns of a row that the table has not. A name without a value asks for nothing. */
export function strangeIn(target: Target, row: Readonly<Record<string, unknown>>, seen: Strange): string[] {
  const known = knownIn(target);
  const strange = Object.keys(row).filter((name) => !known.has(name) && row[name] !== undefined);
  seen.rows++;
  seen.common = seen.common === undefined ? strange : seen.common.filter((name) => strange.includes(name));
  return strange;
}

export const strangeViolations = (target: Target, strange: readonly string[]): Violation[] =>
  strange.map((name) => ({
    field: name.toWellFormed(),
    code: 'no_such_column',
    message: `${target.name} has no column of this name.${hintOf(target, name)} Leave it out in a step, or add the column.`,
  }));

/** Fails with `code_bug` where the rows of a chunk agree on a column that is not there. */
export function refuseStrange(target: Target, { rows, common = [] }: Strange): void {
  if (rows < ROWS_MIN || common.length === 0) return;
  // Names come from code; but a step may pass on whatever a record has.
  const named = common.filter((name) => plainName.test(name));
  const shown = named.slice(0, NAMES_MAX).map((name) => `"${name}"`);
  const which = shown.length === 0 ? 'a column' : shown.join(', ');
  throw new CodedError(
    'code_bug',
    `The steps give ${which} in every row, and ${target.name} as declared takes only ${ownOf(target).join(', ')} from steps.${named
      .map((name) => hintOf(target, name))
      .join(
        '',
      )} Nothing of this chunk was written. If the records have grown, take the columns by name in a step, as ${pickIn(target)} does; to load it, too, declare it in table('${target.name}', …) and add it to the table. Deploy, then retry.`,
  );
}

/** Columns that steps give, whatever the table gets besides. */
const ownOf = (target: Target): string[] => target.columns.map(({ name }) => name).filter((name) => !given.has(name));

/** A step that takes columns by name, as one would write it for this table. */
function pickIn(target: Target): string {
  const own = ownOf(target).filter((name) => plainName.test(name));
  const names = `${own.slice(0, PICKED_MAX).join(', ')}${own.length > PICKED_MAX ? ', …' : ''}`;
  return `transform(({ ${names} }) => ({ ${names} }))`;
}

/** ` Did you mean "placed_at"?`, where a name differs by a slip. */
function hintOf(target: Target, name: string): string {
  const near = target.columns.find(
    ({ name: own }) => own !== name && distance(own, name) <= Math.max(1, own.length / 4),
  );
  return near ? ` Did you mean "${near.name}"?` : '';
}

/** How many signs are to be put in, taken out, changed or swapped with their neighbour. */
function distance(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, n) => n)];
  for (let i = 1; i <= one.length; i++) {
    const [above, row] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1]?.toLowerCase() === other[j - 1]?.toLowerCase() ? 0 : 1;
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + same);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1);
    }
    rows.push(row);
  }
  return rows[one.length]![other.length]!;
}
