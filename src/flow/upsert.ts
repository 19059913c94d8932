// What lives here: loading rows by their own key, such as an order number: many runs may write the same row, and each leaves the newest.
// Invariant: a row that is the same is not touched; an older version or generation never overwrites a newer one, in whatever order runs come.
// Apart from rows by position, whose key says which run owns them.
import type pg from 'pg';
import { inDigits } from '../model/duration.ts';
import { copyPart, type Loader } from './loader.ts';
import { rowsMade, wasReadWhole, writeLost } from '../store/ledger.ts';
import { acceptedFewer, isFewerOfNew, rowsFewer } from './fewer.ts';
import { fenced } from './session.ts';
import type { FlowContext } from './context.ts';
import type { OpenSource } from './flow.ts';
import type { Session } from './session.ts';
import { bookkeeping, type ByKey, columnList, copyInto, keyColumns, quoted, type Target } from './table.ts';

const STAGE = 'pg_temp.mf_stage';

const stageSql = (target: Target): string =>
  `create temp table mf_stage (source_id bigint, "offset" bigint, like ${target.sql} including all excluding indexes excluding statistics excluding comments excluding identity)
   on commit delete rows`;

/** Rows in a staging table first, then into the target where they are new or differ. What is there already, as new or newer, counts as duplicate. */
export function keyLoader(target: Target, byKey: ByKey, overlaps: boolean): Loader {
  const sql = copyInto(STAGE, target);
  const merge = mergeSql(target, byKey);
  const count = countSql(target, byKey);
  return {
    async prepare(client) {
      await client.query(stageSql(target));
    },
    async load(client, chunk, runs, prologue) {
      const sent = await copyPart(client, chunk, { runs, prologue }, sql, target);
      if (sent === 0) return { loaded: 0, duplicate: 0 };
      const range = [chunk.offsets[runs[0]![0]], chunk.offsets[runs.at(-1)![1] - 1]];
      const added = overlaps ? (await client.query<{ added: number }>(count, range)).rows[0]!.added : 0;
      const { rowCount } = await client.query(merge, range);
      const loaded = rowCount ?? 0;
      return { loaded, duplicate: sent - loaded, added };
    },
  };
}

/** Keys that are not there yet. Counted before the merge, because of a partitioned table that cannot tell what it inserted. */
function countSql(target: Target, byKey: ByKey): string {
  const key = byKey.key.map(quoted);
  return `select count(*)::int as added from (select distinct ${key.join(', ')} from ${STAGE} where "offset" between $1 and $2) s
    where not exists (select from ${target.sql} t where ${key.map((name) => `t.${name} = s.${name}`).join(' and ')})`;
}

/** Columns that say how new a row is, the generation last. */
function versionOf(target: Target, byKey: ByKey): string[] {
  const own = (byKey.version ?? []).map(quoted);
  return target.columns.some(({ name }) => name === 'generation') ? [...own, 'generation'] : own;
}

/** Sorted by key, so that two loaders never wait for each other in a circle; the newest of several rows of one key. */
function mergeSql(target: Target, byKey: ByKey): string {
  const key = byKey.key.map(quoted);
  const columns = columnList(target, 'own');
  const values = target.columns
    .map(({ name }) => name)
    .filter((name) => !byKey.key.includes(name) && !keyColumns.some((column) => column.name === name));
  const meant = values.filter((name) => !bookkeeping.includes(name)).map(quoted);
  const version = versionOf(target, byKey);
  const row = (of: string, names: readonly string[]): string => `(${names.map((name) => `${of}.${name}`).join(', ')})`;
  const newest = version.map((name) => `${name} desc nulls last, `).join('');
  const guard = version.length === 0 ? '' : ` and ${row('t', version)} <= ${row('excluded', version)}`;
  const update =
    meant.length === 0
      ? 'do nothing'
      : `do update set ${values.map((name) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ')}
         where ${row('t', meant)} is distinct from ${row('excluded', meant)}${guard}`;
  return `insert into ${target.sql} as t (${columns})
    select ${columns} from (select distinct on (${key.join(', ')}) * from ${STAGE} where "offset" between $1 and $2
      order by ${key.join(', ')}, ${newest}"offset" desc) newest order by ${key.join(', ')}
    on conflict (${key.join(', ')}) ${update}`;
}

/** How many rows of the date are new in this generation is not known of a table, so what its readings made is compared. */
async function refuseFewer(
  client: pg.Client,
  removed: number,
  { sourceId }: OpenSource,
  target: Target,
  ctx: FlowContext,
): Promise<void> {
  const key = { runKey: ctx.runKey, generation: ctx.generation, stage: ctx.stage, sourceId };
  const { before, after } = await rowsMade(client, key);
  const fewer = Math.min(removed, before - after);
  if (fewer > 0 && ctx.acceptLoss) return writeLost(client, key, fewer, acceptedFewer(ctx.acceptLoss));
  if (ctx.acceptLoss || !isFewerOfNew(before, after)) return;
  const why = `of ${ctx.dataDate} the keys of ${inDigits(removed)} did not come again`;
  throw rowsFewer(key, { table: target.name, before, after, why });
}

/**
 * A date that is loaded again: rows of it that it does not have any more are deleted, in one transaction. The first time it has nothing to delete.
 * Where any stage of the generation gave up a range, set a record aside or took less than there should be, nothing is deleted: what was not read may still be true.
 */
export async function removeLeftOver(
  session: Session,
  source: OpenSource,
  target: Target,
  byKey: ByKey,
  ctx: FlowContext,
): Promise<void> {
  const first = ctx.generation === 1 && (source.earlier ?? []).length === 0;
  if (first || byKey.dateColumn === undefined) return;
  const date = quoted(byKey.dateColumn);
  const same = byKey.key.map((name) => `s.${quoted(name)} = t.${quoted(name)}`).join(' and ');
  await fenced(session, async (client: pg.Client) => {
    if (!(await wasReadWhole(client, ctx))) return;
    const whole = [{ from: source.slice.from, to: source.slice.to }];
    const options = { recordsMax: 20_000, signal: ctx.signal };
    for await (const chunk of source.reader.chunks(whole, options)) {
      const part = { runs: [[0, chunk.rows]] as const, prologue: '' };
      if (chunk.rows > 0) await copyPart(client, chunk, part, copyInto(STAGE, target), target);
      source.reader.release(chunk);
    }
    ctx.signal.throwIfAborted();
    const { rowCount } = await client.query(
      `delete from ${target.sql} t where t.${date} = $1 and not exists (select from ${STAGE} s where ${same})`,
      [ctx.dataDate],
    );
    if (rowCount) await refuseFewer(client, rowCount, source, target, ctx);
  });
}
