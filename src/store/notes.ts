// What lives here: what a run has to say besides its figures, such as which run loaded a file before.
// Invariant: a sentence is kept once, however many attempts say it; names of files and runs may be in it, values of records never.
// Apart because figures are counted and sentences are only told.
import type { Db } from './db.ts';

/** Sentences of a run that are shown at most; the rest is counted. */
const NOTES_MAX = 20;

export interface NoteKey {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
  readonly execution?: string | undefined;
}

/** What programs look for: that the code is wrong and not its records, that bytes were left to another run. All else is only told. */
export type NoteKind = 'told' | 'mistake' | 'left';

export const kept = (text: string): string => text.replaceAll('\0', '').toWellFormed().slice(0, 1_000);

/** What an attempt says that nobody waits for any more is not kept. */
export const addNote = (
  db: Db,
  { runKey, generation, stage, execution }: NoteKey,
  text: string,
  kind: Exclude<NoteKind, 'left'> = 'told',
): Promise<unknown> =>
  db.query(
    'insert into mendflow.run_note (run_key, generation, stage, text, kind) select $1, $2, $3, $4, $6 where mendflow.holds($1, $2, $5) on conflict do nothing',
    [runKey, generation, stage, kept(text), execution ?? null, kind],
  );

/** What somebody decided is true of this generation, also when it has closed meanwhile. */
export const addLateNote = (
  db: Db,
  { runKey, generation, stage, execution }: NoteKey,
  text: string,
): Promise<unknown> =>
  db.query(
    `insert into mendflow.run_note (run_key, generation, stage, text)
     select key, generation, $3, $4 from mendflow.run where key = $1 and generation = $2 and workflow_run is not distinct from $5 on conflict do nothing`,
    [runKey, generation, stage, kept(text), execution ?? null],
  );

/** What is found out of a run's current generation later, whoever works it. */
export const addNoteOfCurrent = (
  db: Db,
  { runKey, stage }: Pick<NoteKey, 'runKey' | 'stage'>,
  text: string,
): Promise<unknown> =>
  db.query(
    `insert into mendflow.run_note (run_key, generation, stage, text)
     select key, generation, $2, $3 from mendflow.run where key = $1 on conflict do nothing`,
    [runKey, stage, kept(text)],
  );

/** What the current generation of a run has said of this kind; with `stage`, only what that one has. */
export async function notesOfKind(db: Db, runKey: string, kind: NoteKind, stage?: string): Promise<string[]> {
  const { rows } = await db.query<{ text: string }>(
    `select distinct n.text from mendflow.run_note n join mendflow.run r on r.key = n.run_key and r.generation = n.generation
     where n.run_key = $1 and n.kind = $2 and ($3::text is null or n.stage = $3) order by 1 limit ${NOTES_MAX}`,
    [runKey, kind, stage ?? null],
  );
  return rows.map(({ text }) => text);
}

/** What the current generation of a run has said, oldest first. */
export async function notesOf(db: Db, runKey: string): Promise<string[]> {
  const { rows } = await db.query<{ text: string; all: number }>(
    `select n.text, count(*) over ()::int as all from mendflow.run_note n join mendflow.run r on r.key = n.run_key and r.generation = n.generation
     where n.run_key = $1 order by n.at, n.stage limit ${NOTES_MAX}`,
    [runKey],
  );
  const more = (rows[0]?.all ?? 0) - rows.length;
  return [...rows.map(({ text }) => text), ...(more > 0 ? [`And ${more} sentences of this kind more.`] : [])];
}
