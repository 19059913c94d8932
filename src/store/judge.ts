// What lives here: whether a run that adds up may be called green, by what became of its records.
// Invariant: counted over all sources and stages of the run at once, under the lock of its closing, so neither small files nor workers side by side escape.
// Apart from the balance, which asks whether everything is accounted for, not whether it is any good.
import { badInWords, tooManyBad } from '../flow/limit.ts';
import type { Db } from './db.ts';
import { notesOfKind } from './notes.ts';

/** Share of bad records, 0..1, that each stage allows; a stage that is not named allows all but everything. */
export type Limits = Readonly<Record<string, number>>;

interface StageCount {
  readonly stage: string;
  readonly read: number;
  readonly bad: number;
}

/** Sources named in a sentence at most. */
const NAMES_MAX = 5;

/** Sentences that say why the run is not green; none if it is. What somebody gave up knowingly is judged no more. */
export async function verdictOnRecords(db: Db, runKey: string, limits: Limits): Promise<string[]> {
  const says: string[] = [];
  for (const { stage, read, bad } of await countsOf(db, runKey)) {
    const shareMax = limits[stage] ?? 1;
    if (shareMax < 1 && tooManyBad(read, bad, shareMax))
      says.push(`${badInWords(read, bad, shareMax)} of ${stage} are bad.`);
  }
  const limited = Object.keys(limits).filter((stage) => limits[stage]! < 1);
  const { names, sources } = await sourcesAllBad(db, runKey, limited);
  if (sources > 0)
    says.push(
      `Of ${sources === 1 ? 'one source' : `${sources} sources`} every record is bad: ${names.join(', ')}${sources > names.length ? ' and others' : ''}.`,
    );
  if (says.length === 0 && (await everythingIsBad(db, runKey)))
    says.push('Every record that the run read is bad; nothing was loaded.');
  // Where the code fails and not the records, that is the first thing to know.
  return says.length === 0 ? [] : [...(await notesOfKind(db, runKey, 'mistake')), ...says];
}

/** By source, what this generation read; without those of which somebody gave something up. */
const judged = `select c.stage, c.source_id, sum(c.read) as read, sum(c.quarantined) as bad, sum(c.loaded + c.duplicate + c.passed) as good
  from mendflow.chunk c join mendflow.run r on r.key = c.run_key and r.generation = c.generation
  where r.key = $1 group by 1, 2 having bool_and(c.counted and c.lost = 0)`;

async function countsOf(db: Db, runKey: string): Promise<StageCount[]> {
  const { rows } = await db.query<StageCount>(
    `select stage, sum(read)::float8 as read, sum(bad)::float8 as bad from (${judged}) judged group by 1 order by 1`,
    [runKey],
  );
  return rows;
}

/** A source of which a run ever loaded something has the right format; a bad line at its end is only a bad line. */
async function sourcesAllBad(
  db: Db,
  runKey: string,
  stages: readonly string[],
): Promise<{ sources: number; names: string[] }> {
  const { rows } = await db.query<{ sources: number; names: string[] | null }>(
    `select count(*)::int as sources, (array_agg(mendflow.source_text(s.name, s.hint) order by s.id))[1:${NAMES_MAX}] as names
     from (${judged}) judged join mendflow.source s on s.id = judged.source_id
     where judged.bad > 0 and judged.good = 0 and judged.stage = any ($2::text[])
       and not exists (select from mendflow.chunk before where before.source_id = judged.source_id and before.stage = judged.stage
         and before.loaded + before.duplicate + before.passed > 0)`,
    [runKey, stages],
  );
  return { sources: rows[0]!.sources, names: rows[0]!.names ?? [] };
}

async function everythingIsBad(db: Db, runKey: string): Promise<boolean> {
  const { rows } = await db.query<{ bad: boolean }>(
    `select coalesce(sum(bad) > 0 and sum(good) = 0, false) as bad from (${judged}) judged`,
    [runKey],
  );
  return rows[0]!.bad;
}
