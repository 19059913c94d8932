// What lives here: sources, and what the ledger can prove about their bytes.
// Invariant: a source belongs to one pipeline and one target; the same file for another table is another source, with a coverage of its own.
// Apart because finding out whether a file is the same file is its connector's business; keeping the answer is ours.
import type { Proof } from '../flow/types.ts';
import type { Db } from './db.ts';

/** A row of `mendflow.source`. The id is a decimal number, because a bigint may be more than a double holds. */
export interface Source {
  readonly id: string;
  readonly pipeline: string;
  /** Table its records go to; empty where they go to none. */
  readonly target: string;
  /** Root-relative path without codec suffix, as bytes. */
  readonly name: Buffer;
  readonly version: number;
  /** Hash of its first bytes; null until there are any. */
  readonly head: Buffer | null;
  readonly hint: unknown;
}

const columns = 'id, pipeline, target, name, version, head, hint';

/** Whose source it is: the same file for another pipeline or another table is another source. */
export type SourceOwner = Pick<Source, 'pipeline' | 'target'>;

/** All versions of a name, newest first. */
export async function findSources(db: Db, { pipeline, target }: SourceOwner, name: Uint8Array): Promise<Source[]> {
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where pipeline = $1 and target = $2 and name = $3 order by version desc`,
    [pipeline, target, Buffer.from(name)],
  );
  return rows;
}

/**
 * Sources whose first bytes have one of these hashes: candidates for "the same bytes under another name". With `long`, the hashes of longer beginnings,
 * without settled ones that have none of these: then a folder of files with the same header does not look at each of them for each.
 */
export async function findByHead(
  db: Db,
  { pipeline, target }: SourceOwner,
  heads: readonly Uint8Array[],
  long?: readonly Uint8Array[],
): Promise<Source[]> {
  const of = [pipeline, target, heads.map((head) => Buffer.from(head))];
  const alike = 'pipeline = $1 and target = $2 and head = any($3::bytea[])';
  if (long === undefined)
    return (await db.query<Source>(`select ${columns} from mendflow.source where ${alike} order by id desc`, of)).rows;
  // Each is settled once, by whoever meets it first; what others have in hand is settled later.
  await db.query(
    `update mendflow.source set settled = true where id in (
       select s.id from mendflow.source s where ${alike} and not settled and long_bytes <= (
         select max(upper(c.extent)) from mendflow.chunk c where c.source_id = s.id having count(*) = 1 and bool_and(c.counted and c.raw_sha256 is not null and lower(c.extent) = 0))
       for update skip locked)`,
    of,
  );
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where ${alike} and not settled
     union all select ${columns} from mendflow.source where pipeline = $1 and target = $2 and long_head = any($4::bytea[]) and settled order by id desc`,
    [...of, long.map((head) => Buffer.from(head))],
  );
  return rows;
}

/** The source that was seen last as a file, and the one that was seen last under its path: where to look, never a proof. */
export async function findByPlace(
  db: Db,
  { pipeline, target }: SourceOwner,
  { inode, device, bornNs, path }: { inode: string; device: string; bornNs: string; path: string },
): Promise<Source[]> {
  const latest = `order by (hint->>'at')::float8 desc nulls last, id desc limit 1`;
  const { rows } = await db.query<Source>(
    `(select ${columns} from mendflow.source where pipeline = $1 and target = $2 and hint->>'inode' = $3 and hint->>'device' = $4 and hint->>'bornNs' = $5 ${latest})
     union (select ${columns} from mendflow.source where pipeline = $1 and target = $2 and hint->>'path' = $6 ${latest})`,
    [pipeline, target, inode, device, bornNs, path],
  );
  return rows;
}

interface NewSource {
  readonly pipeline: string;
  readonly target?: string;
  readonly name: Uint8Array;
  readonly version?: number;
  readonly hint?: unknown;
}

/** The row of that version, inserted if it is new. Two callers at once get the same row. */
export async function insertSource(db: Db, source: NewSource): Promise<Source> {
  const { pipeline, target = '', version = 1 } = source;
  const name = Buffer.from(source.name);
  await db.query(
    `insert into mendflow.source (pipeline, target, name, version, hint) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [pipeline, target, name, version, source.hint === undefined ? null : JSON.stringify(source.hint)],
  );
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where pipeline = $1 and target = $2 and name = $3 and version = $4`,
    [pipeline, target, name, version],
  );
  return rows[0]!;
}

/** Keeps what was last seen of a source: inode, size, times and place are hints, never proofs; the heads say where to look. It may grow from now on. */
export const noteSource = (
  db: Db,
  id: string,
  {
    hint,
    head,
    long,
  }: {
    readonly hint: unknown;
    readonly head?: Uint8Array;
    readonly long?: { readonly sha256: Uint8Array; readonly bytes: number } | undefined;
  },
): Promise<unknown> =>
  db.query(
    `update mendflow.source set hint = $2, head = coalesce($3, head), long_head = coalesce($4, long_head), long_bytes = coalesce($5, long_bytes), settled = false
     where id = $1`,
    [
      id,
      JSON.stringify(hint),
      head ? Buffer.from(head) : null,
      long ? Buffer.from(long.sha256) : null,
      long?.bytes ?? null,
    ],
  );

export async function sourceById(db: Db, id: string): Promise<Source> {
  const { rows } = await db.query<Source>(`select ${columns} from mendflow.source where id = $1`, [id]);
  return rows[0]!;
}

/**
 * The committed ranges of a source that were really read, in order; where several lie over each other, those that are needed to prove every byte once.
 * With `of`, only those that this generation of this run committed.
 */
export const proofsOf = async (
  db: Db,
  sourceId: string,
  stage: string,
  of?: { readonly runKey: string; readonly generation: number },
): Promise<Proof[]> => (await proofsOfAll(db, [sourceId], stage, of)).get(sourceId) ?? [];

/** The same of several sources, by their ids; none of those that have none. */
export async function proofsOfAll(
  db: Db,
  sourceIds: readonly string[],
  stage: string,
  of?: { readonly runKey: string; readonly generation: number },
): Promise<Map<string, Proof[]>> {
  const found = new Map<string, Proof[]>();
  if (sourceIds.length === 0) return found;
  const { rows } = await db.query<{ id: string; from: string; to: string; raw: Buffer }>(
    `select source_id as id, lower(extent) as from, upper(extent) as to, raw_sha256 as raw from mendflow.chunk
     where source_id = any($1::bigint[]) and stage = $2 and counted and raw_sha256 is not null and ($3::text is null or run_key = $3 and generation = $4)
     order by source_id, lower(extent), upper(extent) desc`,
    [sourceIds, ledgerStage(stage), of?.runKey ?? null, of?.generation ?? null],
  );
  for (const { id, from, to, raw } of rows) {
    const proofs = found.get(id) ?? [];
    if (Number(to) > (proofs.at(-1)?.to ?? 0)) proofs.push({ from: Number(from), to: Number(to), rawSha256: raw });
    found.set(id, proofs);
  }
  return found;
}

/** Stage as the ledger has it: `ingest[a.log]` covers its source as `ingest`, so that a renamed file is not loaded again. */
export const ledgerStage = (stage: string): string => stage.replace(/\[[^]*\]$/, '');
