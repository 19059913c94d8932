// What lives here: sources as the ledger knows them, and which of several that begin alike a file is.
// Invariant: a file is the home of one source. Where the same bytes stand in several files, each source has its own, and what stands in the home of another one is no proof that a source still has its bytes.
// Apart from identity because copies, and copies of copies, are a question of their own.
import { bytesOf } from '../flow/parse/bytes.ts';
import { holds, provenTo } from './file-proof.ts';
import type { Proof } from '../flow/types.ts';
import { type FileRef, type Hint, openFile, pathOf, refOf } from './files.ts';
import {
  findMoved,
  hintOf,
  inodeElsewhere,
  isInode,
  isTellable,
  pathOfSource,
  placeHolds,
  placesOf,
  type Wanted,
} from './file-moved.ts';
import type { Bytes } from '../flow/parse/bytes.ts';

/** A source as the ledger knows it. */
export interface KnownSource extends Wanted {
  readonly id: string;
  /** Name of the source: absolute path without its first slash and the suffix of a codec. */
  readonly name: Uint8Array;
  readonly version: number;
  /** Committed ranges that were really read, in order, each byte once; none if nothing was. */
  readonly proofs: readonly Proof[];
}

/** What the ledger is asked; `known-sources.ts` answers it. */
export interface KnownSources {
  /** The newest version under this name. */
  byName(name: Uint8Array): Promise<KnownSource | undefined>;
  /**
   * Sources of the pipeline and the target, whatever their name, whose first bytes have one of these hashes. With `long`, without those of which is
   * certain that a file with these longer beginnings holds nothing: many files may have the same header.
   */
  byHead(heads: readonly Uint8Array[], long?: readonly Uint8Array[]): Promise<readonly KnownSource[]>;
  /** The source that was seen last as this file, and the one that was seen last under this path. */
  byPlace(hint: Hint): Promise<readonly KnownSource[]>;
}

/** A file with what is asked about it. */
export interface Asked {
  readonly ref: FileRef;
  readonly hint: Hint;
  readonly bytes: Bytes;
  /** Bytes of the decoded stream. */
  readonly size: number;
  readonly known: KnownSources;
}

/** When it was seen last. */
export const seenAt = ({ hint }: Wanted): number => (hintOf(hint) as { at?: number }).at ?? 0;

/** Those of the sources that the file holds wholly, the longest first, and the others. */
export async function heldOf(
  { bytes, size }: Asked,
  sources: readonly KnownSource[],
): Promise<{ held: KnownSource[]; others: KnownSource[] }> {
  const held: KnownSource[] = [];
  const others: KnownSource[] = [];
  for (const source of sources.toSorted((a, b) => provenTo(b.proofs) - provenTo(a.proofs) || seenAt(b) - seenAt(a)))
    if (provenTo(source.proofs) <= size && (await holds(bytes, source.proofs))) held.push(source);
    else others.push(source);
  return { held, others };
}

/** The source whose file this is: its own inode; else one that has lost its place, and has bytes enough to be told. */
export async function claimOf(asked: Asked, held: readonly KnownSource[]): Promise<KnownSource | undefined> {
  const own = held.find(({ hint }) => isInode(hint, asked.hint));
  if (own) return own;
  const here = pathOf(asked.ref);
  for (const source of held)
    if (
      isTellable(source, { ...asked, path: here }) &&
      !(await stands(source, asked)) &&
      (await inodeElsewhere(source, here)) === undefined
    )
      return source;
  return undefined;
}

/** Whether the bytes are still where they were, in a file that is not the one looked at, and is no other source's. */
async function stands(source: KnownSource, { ref, known }: Asked): Promise<boolean> {
  for (const place of placesOf(source, [pathOf(ref)]))
    if ((await placeHolds(place, source)) && !(await isHomeOfOther(place, source, known))) return true;
  return false;
}

/** Another file in which the bytes of a source are now; none that is the home of another source. */
export async function movedTo(
  source: KnownSource,
  { ref, known }: Pick<Asked, 'ref' | 'known'>,
): Promise<FileRef | undefined> {
  const here = pathOf(ref);
  return await findMoved(source, here, [here], async (place) => !(await isHomeOfOther(place, source, known)));
}

/** Whether a file is where another source was seen, which begins as this one does, and still holds that. */
async function isHomeOfOther(place: Buffer, source: KnownSource, known: KnownSources): Promise<boolean> {
  const others = (source.head ? await known.byHead([source.head]) : []).filter(
    ({ id, proofs }) => id !== source.id && proofs.length > 0,
  );
  if (others.length === 0) return false;
  const file = await openFile(refOf(Buffer.alloc(0), place)).catch(() => undefined);
  if (file === undefined) return false;
  try {
    if (isInode(source.hint, file.hint)) return false;
    const bytes = bytesOf(file.fd, file.codec);
    for (const other of others) {
      const isThere =
        isInode(other.hint, file.hint) ||
        [pathOfSource(other.name), ...placesOf(other, [])].some((one) => one.equals(place));
      if (isThere && (await holds(bytes, other.proofs))) return true;
    }
    return false;
  } finally {
    await file.close();
  }
}
