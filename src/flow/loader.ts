// What lives here: how the rows of a chunk get into the target: by COPY, or, where they may be there already, by a staged upsert.
// Invariant: the number of rows that arrived is checked against the number that were sent; an unchanged row is not written.
// Apart so that chunk and poison loop need not know which of the two it is.
import type pg from 'pg';
import { CodedError } from '../model/failure.ts';
import { copyTuples } from '../store/copy-in.ts';
import { hit, isArmed } from '../store/failpoint.ts';
import type { Run } from './poison.ts';
import { bookkeeping, columnList, copyInto, keyColumns, quoted, type Target } from './table.ts';
import { tupleStarts } from './tuples.ts';
import type { Chunk } from './types.ts';

export interface Arrived {
  readonly loaded: number;
  readonly duplicate: number;
  /** Of those loaded: rows that were not there, where a reprocessing can put the same record there twice. */
  readonly added?: number;
}

export interface Loader {
  /** Loads these rows of the chunk, which are in order, after running `prologue`. */
  load(client: pg.ClientBase, chunk: Chunk, runs: readonly Run[], prologue: string): Promise<Arrived>;
  /** Rows that the range has before the chunk is loaded. Only where rows may be there already. */
  rowsIn?(client: pg.ClientBase, chunk: Chunk, sourceId: string): Promise<number>;
  /** Last step of a chunk: removes what the range had and this reading of it did not produce. Only where rows may be there already. */
  tidy?(client: pg.ClientBase, chunk: Chunk, sourceId: string, refused: ReadonlySet<number>): Promise<void>;
  /** Once per connection, outside of a transaction. */
  prepare?(client: pg.ClientBase): Promise<void>;
}

/** First bytes sent of a part that may be refused again: a few dozen rows. */
const CAUTIOUS_BYTES = 4 * 1024;

/** Bytes of these rows; where it is all of them, the buffer is not even walked. */
const bytesOf = (chunk: Chunk, runs: readonly Run[]): Uint8Array[] => {
  if (runs.length === 1 && runs[0]![0] === 0 && runs[0]![1] === chunk.rows) return [chunk.tuples];
  const starts = startsOf(chunk);
  return runs.map(([from, to]) => chunk.tuples.subarray(starts[from], starts[to]));
};

const sizeOf = (runs: readonly Run[]): number => runs.reduce((sum, [from, to]) => sum + to - from, 0);

const walked = new WeakMap<Chunk, Uint32Array>();
/** Tuple starts, found once per chunk and only if it has to be cut. */
export function startsOf(chunk: Chunk): Uint32Array {
  let starts = walked.get(chunk);
  if (!starts) walked.set(chunk, (starts = tupleStarts(chunk.tuples, chunk.rows)));
  return starts;
}

/** Sends rows of a chunk by the statement, and checks that all arrived. */
export async function copyPart(
  client: pg.ClientBase,
  chunk: Chunk,
  part: { runs: readonly Run[]; prologue: string },
  sql: string,
  target: Target,
): Promise<number> {
  const { runs, prologue } = part;
  const sent = sizeOf(runs);
  if (sent === 0) {
    if (prologue !== '') await client.query(prologue);
    return 0;
  }
  const text = prologue === '' ? sql : `${prologue}; ${sql}`;
  const rows = await copyTuples(client, text, bytesOf(chunk, runs), {
    ...(prologue === '' ? {} : { cautiousBytes: CAUTIOUS_BYTES }),
    ...(isArmed('chunk.midCopy') ? { midway: () => hit('chunk.midCopy') } : {}),
  });
  if (rows !== sent)
    throw new CodedError(
      'rows_dropped',
      `${sent} rows were sent to ${target.name} and ${rows} arrived: a trigger or rule drops rows silently. The chunk was undone. Remove or repair it, then retry.`,
    );
  return sent;
}

/** Straight into the target: the default, twice as fast as anything staged. */
export function directLoader(target: Target): Loader {
  const sql = copyInto(target.sql, target);
  return {
    async load(client, chunk, runs, prologue) {
      return { loaded: await copyPart(client, chunk, { runs, prologue }, sql, target), duplicate: 0 };
    },
  };
}

/** For a range that was loaded before: rows that are the same stay untouched, others are updated, and the rest of the range is deleted. */
export function overlapLoader(target: Target): Loader {
  const sql = copyInto('pg_temp.mf_stage', target);
  const merge = mergeSql(target);
  return {
    async prepare(client) {
      await client.query(
        `create temp table mf_stage (like ${target.sql} including all excluding indexes excluding statistics excluding comments) on commit delete rows`,
      );
    },
    async load(client, chunk, runs, prologue) {
      const sent = await copyPart(client, chunk, { runs, prologue }, sql, target);
      if (sent === 0) return { loaded: 0, duplicate: 0 };
      const bounds = [chunk.offsets[runs[0]![0]], chunk.offsets[runs.at(-1)![1] - 1]];
      const { rowCount } = await client.query(merge, bounds);
      const loaded = rowCount ?? 0;
      return { loaded, duplicate: sent - loaded };
    },
    async rowsIn(client, chunk, sourceId) {
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::int as count from ${target.sql} where source_id = $1 and "offset" >= $2 and "offset" < $3`,
        [sourceId, chunk.from, chunk.to],
      );
      return rows[0]!.count;
    },
    async tidy(client, chunk, sourceId, refused) {
      const kept = Array.from(chunk.offsets.subarray(0, chunk.rows)).filter((_, row) => !refused.has(row));
      await client.query(
        `delete from ${target.sql} t where t.source_id = $1 and t."offset" >= $2 and t."offset" < $3
         and not exists (select from unnest($4::bigint[]) as kept(off) where kept.off = t."offset")`,
        [sourceId, chunk.from, chunk.to, kept],
      );
    },
  };
}

/** Rows in the order of the key, so that two loaders never wait for each other in a circle. */
function mergeSql(target: Target): string {
  const values = target.columns.filter(({ name }) => !keyColumns.some((key) => key.name === name));
  const meant = values.filter(({ name }) => !bookkeeping.includes(name)).map(({ name }) => quoted(name));
  const update =
    meant.length === 0
      ? 'do nothing'
      : `do update set ${values.map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ')}
         where (${meant.map((name) => `t.${name}`).join(', ')}) is distinct from (${meant.map((name) => `excluded.${name}`).join(', ')})`;
  return `insert into ${target.sql} as t (${columnList(target)})
    select ${columnList(target)} from pg_temp.mf_stage where "offset" between $1 and $2 order by source_id, "offset"
    on conflict (source_id, "offset") ${update}`;
}
