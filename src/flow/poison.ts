// What lives here: loading all rows of a chunk but those that the database refuses.
// Invariant: every row is loaded or refused, in order; k refused rows that the server names by line cost at most 2k + 1 COPYs.
// Apart because it runs only when COPY has failed once, and must stay cheap when thousands of rows are bad.

/** SQLSTATEs that are about a value of a row: data exceptions, broken constraints, view checks, a trigger's own `raise`, an index entry too large. */
const aboutRows = /^(22|23|44)|^P0001$|^54000$/;
/** Says that the tuple itself is malformed: our encoder's fault, not the record's. */
const MALFORMED = '22P04';

/** Whether an error of COPY is about a row, so that leaving that row out lets the others in. */
export function isRecordError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && code !== MALFORMED && aboutRows.test(code);
}

/**
 * The row COPY failed at, from 1, or undefined if the server names none (foreign keys, AFTER triggers).
 * The last match counts: errors inside JSON name a line of their own first, and a German server says "Zeile".
 */
export function refusedLine(error: unknown): number | undefined {
  const { where } = error as { where?: unknown };
  if (typeof where !== 'string') return undefined;
  const last = [...where.matchAll(/^COPY .+?, \S+ (\d+)/gm)].at(-1);
  return last && Number(last[1]);
}

/** Rows [from, to) of a chunk. */
export type Run = readonly [from: number, to: number];

export interface PoisonOptions {
  readonly rows: number;
  /** What the COPY of all rows failed with: its line spares one try. */
  readonly first: unknown;
  /** Loads these rows, which are in order, after running `prologue`, which undoes or keeps what came before. */
  load(runs: readonly Run[], prologue: string): Promise<void>;
  /** A row is refused; may throw to give up. */
  refused(row: number, error: unknown): Promise<void>;
}

/** Good rows before a refused one are loaded by themselves from this many on; fewer are cheaper to send again with what follows. */
const PREFIX_ROWS_MIN = 16;

const sizeOf = (runs: readonly Run[]): number => runs.reduce((sum, [from, to]) => sum + to - from, 0);

/** The runs without their n-th row (from 0), which is given apart. */
function around(runs: readonly Run[], nth: number): { before: Run[]; row: number; after: Run[] } {
  let left = nth;
  const index = runs.findIndex(([from, to]) => left < to - from || ((left -= to - from), false));
  const [from, to] = runs[index]!;
  const row = from + left;
  const whole = (run: Run): boolean => run[0] < run[1];
  const before: Run[] = [...runs.slice(0, index), [from, row] as const];
  const after: Run[] = [[row + 1, to] as const, ...runs.slice(index + 1)];
  return { before: before.filter(whole), row, after: after.filter(whole) };
}

/** Two halves of the runs, in order. */
function halves(runs: readonly Run[]): [Run[], Run[]] {
  const { before, row, after } = around(runs, Math.floor(sizeOf(runs) / 2));
  return [before, [[row, row + 1], ...after]];
}

/**
 * Goes through the rows of a chunk inside of a transaction. The good rows before a refused one are loaded and kept by a savepoint, and loading goes on
 * behind it; what is in is never sent again. Where the server names no row, halves are tried.
 */
export async function loadAround(options: PoisonOptions): Promise<void> {
  const ahead: (readonly Run[])[] = [];
  let prologue = 'savepoint mf';
  /** Plans what follows the failure of a part; the part pushed last is worked first. */
  const after = async (runs: readonly Run[], error: unknown): Promise<void> => {
    const size = sizeOf(runs);
    const line = refusedLine(error);
    const named = line !== undefined && line >= 1 && line <= size;
    if (!named && size > 1) {
      const [first, second] = halves(runs);
      ahead.push(second, first);
      return;
    }
    const split = around(runs, named ? line - 1 : 0);
    await options.refused(split.row, error);
    if (sizeOf(split.before) < PREFIX_ROWS_MIN) ahead.push([...split.before, ...split.after]);
    else ahead.push(split.after, split.before);
  };
  await after([[0, options.rows]], options.first);
  for (let part = ahead.pop(); part; part = ahead.pop()) {
    if (part.length === 0) continue;
    try {
      await options.load(part, prologue);
      prologue = 'release savepoint mf; savepoint mf';
    } catch (error) {
      if (!isRecordError(error)) throw error;
      prologue = 'rollback to savepoint mf';
      await after(part, error);
    }
  }
  // Whatever the last part was: in an aborted transaction nothing but this works.
  if (prologue === 'rollback to savepoint mf') await options.load([], prologue);
}
