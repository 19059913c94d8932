// What lives here: bytes that a run left to another one that was to load them, and what became of them.
// Invariant: whether they are loaded is counted from the ledger of chunks, whenever a run closes that knows their file; a run whose bytes nobody has loaded is not green.
// Apart from plans because a plan looks forward, and this looks back at runs that have ended.
import { startCommand } from '../model/shell.ts';
import type { Db } from './db.ts';
import { addNoteOfCurrent, kept, type NoteKey } from './notes.ts';

/** Said of a run that was seen to be open, and true for ever: it names the moment. Once, because each attempt has another moment. */
export async function noteLeft(
  db: Db,
  { runKey, generation, stage, execution }: NoteKey,
  what: string,
  to: { readonly runKey: string; readonly state: string },
): Promise<void> {
  const begins = `${what} are planned by run ${to.runKey}, which was `;
  const at = new Date().toISOString().slice(0, 19);
  await db.query(
    `insert into mendflow.run_note (run_key, generation, stage, text, kind, about)
     select $1, $2, $3, $4, 'left', $6 where mendflow.holds($1, $2, $5) and not exists (
       select from mendflow.run_note where run_key = $1 and generation = $2 and stage = $3 and kind = 'left' and about = $6 and starts_with(text, $7))
     on conflict do nothing`,
    [
      runKey,
      generation,
      stage,
      kept(`${begins}${to.state} at ${at}Z: what of them was not loaded then is left to it.`),
      execution ?? null,
      to.runKey,
      kept(begins),
    ],
  );
}

/** What a run left to another one that has ended since, and nobody has loaded. */
interface Gap {
  readonly stage: string;
  readonly name: string;
  readonly to: string;
  readonly state: string;
  readonly endedAt: Date;
  readonly pipeline: string;
  readonly dataDate: string;
  readonly input: Readonly<Record<string, unknown>> | null;
  readonly bytes: number;
}

/**
 * In the transaction that closes a run: looks again at what it left to others, and at what others left to it or to anybody of the same files.
 * Says whether the run itself has to be degraded. Others that have ended become so, and green again once all of it is loaded.
 */
export async function settleLeft(db: Db, runKey: string): Promise<boolean> {
  const { rows } = await db.query<{ key: string }>(
    `select distinct r.key from mendflow.slice mine
     join mendflow.slice s on s.source_id = mine.source_id and s.stage = mine.stage
     join mendflow.run r on r.key = s.run_key and r.generation = s.generation and r.state not in ('aborted', 'failed')
     join mendflow.run_note n on n.run_key = s.run_key and n.generation = s.generation and n.stage = s.call and n.kind = 'left'
     where mine.run_key = $1 order by 1`,
    [runKey],
  );
  let own = false;
  for (const { key } of rows) {
    const missing = await tellGaps(db, key);
    own ||= key === runKey && missing > 0;
    await mark(db, key, missing, runKey);
  }
  return own;
}

async function tellGaps(db: Db, key: string): Promise<number> {
  let missing = 0;
  for (const gap of await gapsOf(db, key)) {
    missing += gap.bytes;
    await addNoteOfCurrent(
      db,
      { runKey: key, stage: gap.stage },
      `Of the bytes of ${gap.name} that this run left to run ${gap.to}, ${gap.bytes} are loaded by no run: it ended ${gap.state} at ${gap.endedAt.toISOString().slice(0, 19)}Z. To load them: ${startCommand(gap, ...(isEnded(gap) ? ['--force'] : []))}`,
    );
  }
  return missing;
}

/** A run that was given up goes on when it is started; one that is done does not. */
const isEnded = ({ state }: Gap): boolean => state === 'done' || state === 'degraded';

/** All that the other one ever planned of the file counts, and a chunk that holds no hash of its bytes was given up, not read. */
async function gapsOf(db: Db, key: string): Promise<Gap[]> {
  const { rows } = await db.query<Gap>(
    `select g.stage, mendflow.source_text(o.name, o.hint) as name, k.key as "to", k.state, k.closed_at as "endedAt", k.pipeline, k.data_date as "dataDate",
       k.input, g.bytes
     from (
       select l.call as stage, p.source_id, p.run_key, (
           select coalesce(sum(upper(hole) - lower(hole)), 0)::float8 from unnest(range_agg(p.extent) - coalesce((
             select range_agg(c.extent) from mendflow.chunk c
             where c.source_id = p.source_id and c.stage = p.stage and c.raw_sha256 is not null), '{}')) as hole) as bytes
       from mendflow.run r
       join mendflow.slice l on l.run_key = r.key and l.generation = r.generation
       join (select distinct run_key, generation, stage, about as taker from mendflow.run_note where run_key = $1 and kind = 'left') n
         on n.run_key = r.key and n.generation = r.generation and n.stage = l.call
       join mendflow.slice p on p.run_key = n.taker and p.source_id = l.source_id and p.stage = l.stage
       where r.key = $1 group by l.call, p.source_id, p.stage, p.run_key) g
     join mendflow.run k on k.key = g.run_key and k.state in ('done', 'degraded', 'aborted', 'failed')
     join mendflow.source o on o.id = g.source_id
     where g.bytes > 0 order by 1, 2, 3`,
    [key],
  );
  return rows;
}

/** Only a run that was marked here becomes green again here. */
async function mark(db: Db, key: string, missing: number, by: string): Promise<void> {
  if (missing > 0)
    return void (await db.query(
      `update mendflow.run set state = 'degraded', health = 'degraded', closed = closed || jsonb_build_object('leftBytes', $2::float8)
       where key = $1 and (state = 'done' or state = 'degraded' and closed ? 'leftBytes')`,
      [key, missing],
    ));
  const { rowCount } = await db.query(
    `update mendflow.run set state = 'done', health = 'healthy', closed = closed - 'leftBytes' where key = $1 and state = 'degraded' and closed ? 'leftBytes'`,
    [key],
  );
  if (rowCount === 1)
    await addNoteOfCurrent(
      db,
      { runKey: key, stage: '' },
      `What this run left to others is all loaded, since run ${by} ended.`,
    );
}
