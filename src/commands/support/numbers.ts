// What lives here: whole numbers as people write them on a command line.
// Invariant: digits and nothing else; what JavaScript would also take for a number (nothing, blanks, 0x10, 1e3) is refused with the bounds.
// Apart because every option that counts is read the same way.
import { CommandError } from './exit-codes.ts';
import { counted } from './terminal.ts';

/** Undefined unless it is a whole number within the bounds. */
export function wholeOf(written: string, min: number, max: number): number | undefined {
  const value = /^\d{1,15}$/.test(written.trim()) ? Number(written) : NaN;
  return value >= min && value <= max ? value : undefined;
}

/** Throws `usage`, naming the option and its bounds. */
export function readWhole(option: string, written: string, [min, max]: readonly [number, number]): number {
  const value = wholeOf(written, min, max);
  if (value !== undefined) return value;
  throw new CommandError(
    'usage',
    `${option} has to be a whole number from ${counted(min)} to ${counted(max)}, and is "${written}". Nothing was changed.`,
  );
}

/** Rows that a list shows at most. */
const LIMIT_MAX = 10_000;

/** How many rows a list shows. */
export const readLimit = (written: string): number => readWhole('--limit', written, [1, LIMIT_MAX]);

/** Letters that are listed unless more are asked for. */
export const LETTERS_LISTED = 100;

/** The command that lists so many letters, all of them. */
export const lettersCommand = (filter: string, count: number): string =>
  ['mendflow letters list', filter, ...(count > LETTERS_LISTED ? [`--limit ${Math.min(count, LIMIT_MAX)}`] : [])].join(
    ' ',
  );
