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

export interface PoisonOptions {
  readonly rows: number;
  /** What the COPY of all rows failed with: its line spares one try. */
  readonly first: unknown;
  /** Loads rows [from, to) after running `prologue`, which undoes or keeps what came before. */
  load(from: number, to: number, prologue: string): Promise<void>;
  /** A row is refused; may throw to give up. */
  refused(row: number, error: unknown): Promise<void>;
}

/**
 * Goes through the rows of a chunk inside of a transaction. Per bad row, the good rows before it are loaded by themselves and kept by a savepoint,
 * and loading goes on behind it; nothing that is in is sent again. Where the server names no row, halves are tried.
 */
export async function loadAround(options: PoisonOptions): Promise<void> {
  const ahead: [from: number, to: number][] = [];
  let prologue = 'savepoint mf';
  /** Plans what follows a failure of [from, to); the parts are worked from the last one pushed. */
  const after = async (from: number, to: number, error: unknown): Promise<void> => {
    const line = refusedLine(error);
    const named = line !== undefined && line >= 1 && line <= to - from ? from + line - 1 : undefined;
    const bad = named ?? (to - from === 1 ? from : undefined);
    if (bad === undefined) {
      const middle = from + Math.floor((to - from) / 2);
      ahead.push([middle, to], [from, middle]);
      return;
    }
    await options.refused(bad, error);
    ahead.push([bad + 1, to], [from, bad]);
  };
  await after(0, options.rows, options.first);
  for (let part = ahead.pop(); part; part = ahead.pop()) {
    const [from, to] = part;
    if (from >= to) continue;
    try {
      await options.load(from, to, prologue);
      prologue = 'release savepoint mf; savepoint mf';
    } catch (error) {
      if (!isRecordError(error)) throw error;
      prologue = 'rollback to savepoint mf';
      await after(from, to, error);
    }
  }
  // Whatever the last part was: in an aborted transaction nothing but this works.
  if (prologue === 'rollback to savepoint mf') await options.load(0, 0, prologue);
}
