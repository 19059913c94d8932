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

/** Sources whose first bytes have one of these hashes: candidates for "the same bytes under another name". */
export async function findByHead(
  db: Db,
  { pipeline, target }: SourceOwner,
  heads: readonly Uint8Array[],
): Promise<Source[]> {
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where pipeline = $1 and target = $2 and head = any($3::bytea[]) order by id desc`,
    [pipeline, target, heads.map((head) => Buffer.from(head))],
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

/** Keeps what was last seen of a source: inode, size, times and place are hints, never proofs; the head says where to look. */
export const noteSource = (db: Db, id: string, seen: { hint: unknown; head?: Uint8Array }): Promise<unknown> =>
  db.query('update mendflow.source set hint = $2, head = coalesce($3, head) where id = $1', [
    id,
    JSON.stringify(seen.hint),
    seen.head ? Buffer.from(seen.head) : null,
  ]);

export async function sourceById(db: Db, id: string): Promise<Source> {
  const { rows } = await db.query<Source>(`select ${columns} from mendflow.source where id = $1`, [id]);
  return rows[0]!;
}

/**
 * The committed ranges of a source that were really read, in order; where several lie over each other, those that are needed to prove every byte once.
 * With `of`, only those that this generation of this run committed.
 */
export async function proofsOf(
  db: Db,
  sourceId: string,
  stage: string,
  of?: { readonly runKey: string; readonly generation: number },
): Promise<Proof[]> {
  const { rows } = await db.query<{ from: string; to: string; raw: Buffer }>(
    `select lower(extent) as from, upper(extent) as to, raw_sha256 as raw from mendflow.chunk
     where source_id = $1 and stage = $2 and counted and raw_sha256 is not null and ($3::text is null or run_key = $3 and generation = $4)
     order by lower(extent), upper(extent) desc`,
    [sourceId, ledgerStage(stage), of?.runKey ?? null, of?.generation ?? null],
  );
  let provenTo = 0;
  return rows.flatMap(({ from, to, raw }) => {
    if (Number(to) <= provenTo) return [];
    provenTo = Number(to);
    return [{ from: Number(from), to: provenTo, rawSha256: raw }];
  });
}

/** Stage as the ledger has it: `ingest[a.log]` covers its source as `ingest`, so that a renamed file is not loaded again. */
export const ledgerStage = (stage: string): string => stage.replace(/\[[^]*\]$/, '');
