// What lives here: whether a run adds up, counted from the ledger.
// Invariant: counts come from the tables alone; what does not add up is said in sentences, and a run with one of them is not green.
// Apart because it is also the checker: tests, `show` and the closing transaction ask the same question.
import type { Bins } from '../flow/context.ts';
import type { Db } from './db.ts';

/** The balance of the current generation of a run: sum of chunks plus sum of movements. */
export interface Balance extends Bins {
  readonly balanced: boolean;
  /** Sentences that say what does not add up; empty if balanced. */
  readonly faults: readonly string[];
  /** Letters of the run that wait for somebody. */
  readonly openLetters: number;
  /** Rows of targets that stand for the run. */
  readonly rowsOut: number;
  /** Bytes that were given up unread: how many records they hold is unknown. */
  readonly uncountedBytes: number;
  /** Records and rows whose loss somebody accepted, as far as they could be counted. */
  readonly lost: number;
}

/** Faults shown at most; more of them have the same cause. */
const FAULTS_MAX = 20;

/** Counts a run. Changes nothing. */
export async function balance(db: Db, runKey: string): Promise<Balance> {
  const sums = await sumsOf(db, runKey);
  const moved = await movedBins(db, runKey);
  const letters = await lettersOf(db, runKey);
  const kept = await keptLetters(db, runKey);
  const faults = [...(await holes(db, runKey)), ...(await strays(db, runKey)), ...(await unread(db, runKey))];
  const bins = {
    loaded: sums.loaded + moved.loaded,
    duplicate: sums.duplicate + moved.duplicate,
    quarantined: sums.quarantined + moved.quarantined,
    skipped: sums.skipped + moved.skipped,
  };
  const accounted = bins.loaded + bins.duplicate + bins.quarantined + bins.skipped;
  if (accounted !== sums.read) faults.push(`${sums.read} records were read and ${accounted} are accounted for.`);
  if (kept.letters !== kept.quarantined)
    faults.push(`${kept.quarantined} records were quarantined and ${kept.letters} letters are kept.`);
  return {
    ...bins,
    read: sums.read,
    rowsOut: sums.rowsOut,
    uncountedBytes: sums.uncountedBytes,
    lost: sums.lost,
    openLetters: letters,
    balanced: faults.length === 0,
    faults: faults.slice(0, FAULTS_MAX),
  };
}

type Sums = Record<keyof Bins | 'rowsOut' | 'uncountedBytes' | 'lost', number>;

async function sumsOf(db: Db, runKey: string): Promise<Sums> {
  const { rows } = await db.query<Sums>(
    `select coalesce(sum(read - passed), 0)::float8 as read, coalesce(sum(loaded), 0)::float8 as loaded, coalesce(sum(duplicate), 0)::float8 as duplicate,
       coalesce(sum(quarantined), 0)::float8 as quarantined, coalesce(sum(skipped), 0)::float8 as skipped, coalesce(sum(rows_out), 0)::float8 as "rowsOut",
       coalesce(sum(upper(extent) - lower(extent)) filter (where not counted), 0)::float8 as "uncountedBytes", coalesce(sum(lost), 0)::float8 as lost
     from mendflow.chunk c join mendflow.run r on r.key = c.run_key and r.generation = c.generation where r.key = $1`,
    [runKey],
  );
  return rows[0]!;
}

async function movedBins(db: Db, runKey: string): Promise<Record<Exclude<keyof Bins, 'read'>, number>> {
  const moved = { loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };
  const { rows } = await db.query<{ from: keyof typeof moved; to: keyof typeof moved; n: number }>(
    `select from_bin as from, to_bin as to, count(*)::int as n from mendflow.movement m join mendflow.dead_letter l on l.id = m.letter_id
     join mendflow.run r on r.key = l.run_key and r.generation = l.generation where r.key = $1 group by 1, 2`,
    [runKey],
  );
  for (const { from, to, n } of rows) {
    moved[from] -= n;
    moved[to] += n;
  }
  return moved;
}

async function lettersOf(db: Db, runKey: string): Promise<number> {
  const { rows } = await db.query<{ open: number }>(
    `select count(*)::int as open from mendflow.dead_letter l join mendflow.run r on r.key = l.run_key and r.generation = l.generation
     where r.key = $1 and l.state = 'open'`,
    [runKey],
  );
  return rows[0]!.open;
}

/**
 * How many records were quarantined, and how many letters there are of them. A chunk that another run has read again later is
 * left out: its letters are that run's affair now, which may have taken them over, written more or found the records good.
 * Letters of bytes that this run read again as others do not count: the chunks that quarantined their records are forgotten too.
 */
async function keptLetters(db: Db, runKey: string): Promise<{ quarantined: number; letters: number }> {
  const { rows } = await db.query<{ quarantined: number; letters: number }>(
    `with redone as materialized (
       select c.source_id, c.stage, c.extent, c.quarantined from mendflow.chunk c
       join mendflow.run r on r.key = c.run_key and r.generation = c.generation
       where r.key = $1 and exists (select from mendflow.chunk d where d.source_id = c.source_id and d.stage = c.stage and d.extent && c.extent
         and d.run_key <> c.run_key and d.at > c.at))
     select ((select coalesce(sum(c.quarantined), 0) from mendflow.chunk c join mendflow.run r on r.key = c.run_key and r.generation = c.generation
         where r.key = $1) - (select coalesce(sum(quarantined), 0) from redone))::float8 as quarantined,
       (select count(*)::int from mendflow.dead_letter l join mendflow.run r on r.key = l.run_key and r.generation = l.generation
         where r.key = $1 and not l.sample and l.state <> 'superseded' and not exists (select from redone o
           where o.source_id = l.source_id and o.stage = l.stage and o.extent @> l.off)) as letters`,
    [runKey],
  );
  return rows[0]!;
}

/** Bytes that were planned and that no chunk accounts for. */
async function holes(db: Db, runKey: string): Promise<string[]> {
  const { rows } = await db.query<{ stage: string; name: string; from: string; to: string }>(
    `select s.stage, mendflow.source_text(o.name, o.hint) as name, lower(hole) as from, upper(hole) as to
     from mendflow.slice s join mendflow.run r on r.key = s.run_key and r.generation = s.generation join mendflow.source o on o.id = s.source_id
     cross join lateral unnest(int8multirange(s.extent) - mendflow.covered(s.run_key, s.generation, s.stage, s.source_id, s.extent)) as hole
     where s.run_key = $1 and not isempty(s.extent) order by s.stage, s.source_id, 3 limit ${FAULTS_MAX}`,
    [runKey],
  );
  return rows.map(({ stage, name, from, to }) => `Bytes ${from} to ${to} of ${name} (${stage}) are not accounted for.`);
}

/** Chunks of the run outside of every slice it planned, or across the edge of one. */
async function strays(db: Db, runKey: string): Promise<string[]> {
  const { rows } = await db.query<{ stage: string; name: string; from: string; to: string }>(
    `select c.stage, mendflow.source_text(o.name, o.hint) as name, lower(c.extent) as from, upper(c.extent) as to
     from mendflow.chunk c join mendflow.run r on r.key = c.run_key and r.generation = c.generation join mendflow.source o on o.id = c.source_id
     where c.run_key = $1 and not exists (select from mendflow.slice s where s.run_key = c.run_key and s.generation = c.generation
       and s.stage = c.stage and s.source_id = c.source_id and s.extent @> c.extent) order by 1, 3 limit ${FAULTS_MAX}`,
    [runKey],
  );
  return rows.map(
    ({ stage, name, from, to }) => `Bytes ${from} to ${to} of ${name} (${stage}) were loaded but never planned.`,
  );
}

/** Records that a stage passed on, and that no stage behind it has read: they would be in no bin. */
async function unread(db: Db, runKey: string): Promise<string[]> {
  const { rows } = await db.query<{ stage: string; records: number; read: number }>(
    `select d.stage, d.records::float8 as records, coalesce(sum(c.read), 0)::float8 as read
     from mendflow.dataset d join mendflow.run r on r.key = d.run_key and r.generation = d.generation
     left join mendflow.chunk c on c.source_id = d.source_id and c.run_key = d.run_key and c.generation = d.generation
     where d.run_key = $1 and d.passed and d.sealed_at is not null and d.state <> 'gone'
     group by d.id having coalesce(sum(c.read), 0) < d.records and coalesce(bool_and(c.counted), true) order by d.stage limit ${FAULTS_MAX}`,
    [runKey],
  );
  return rows.map(
    ({ stage, records, read }) => `${stage} passed ${records} records on, and later stages have read ${read} of them.`,
  );
}
