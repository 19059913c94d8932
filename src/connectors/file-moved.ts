// What lives here: where the bytes of a source are now: under its old path, beside it, or in a folder beside it.
// Invariant: a place is named only if the bytes there hold everything that was committed; names and inodes only say where to look first.
// Apart because looking around is the file system's affair, and costs what it finds.
import { CodedError } from '../model/failure.ts';
import { bytesOf } from '../flow/parse/bytes.ts';
import { displayName, type FileRef, type Hint, openFile, refOf } from './files.ts';
import { headsOf, holds, provenTo } from './file-proof.ts';
import { around, folderOf } from './folder.ts';
import type { Proof } from '../flow/types.ts';

/** What has to be found again. */
export interface Wanted {
  readonly name: Uint8Array;
  readonly proofs: readonly Proof[];
  /** Hash of its first bytes: a file that begins otherwise need not be read. */
  readonly head?: Uint8Array | null;
  readonly hint?: unknown;
}

export const pathOfSource = (name: Uint8Array): Buffer => Buffer.concat([Buffer.from('/'), name]);

export const hintOf = (hint: unknown): Partial<Hint> => (typeof hint === 'object' && hint !== null ? hint : {});

/** True if the file at a path holds all that was committed of a source. A file that cannot be read holds nothing. `tellable`: and may be taken for it. */
export async function placeHolds(path: Buffer, source: Wanted, tellable = false): Promise<boolean> {
  const { proofs, head } = source;
  const file = await openFile(refOf(Buffer.alloc(0), path)).catch(() => undefined);
  if (file === undefined) return false;
  try {
    if (file.codec === 'none' && file.storedBytes < provenTo(proofs)) return false;
    const bytes = bytesOf(file.fd, file.codec);
    const heads = head ? await headsOf(bytes, provenTo(proofs)) : [];
    if (head && !heads.some((one) => one.equals(head))) return false;
    if (!(await holds(bytes, proofs))) return false;
    if (!tellable) return true;
    // Whether there is more is only seen by reading on, where the file is compressed.
    const to = provenTo(proofs);
    const size = (await bytes.read(Buffer.alloc(1), to)) === 0 ? to : to + 1;
    return isTellable(source, { path, hint: file.hint, size });
  } catch (error) {
    // A damaged neighbour holds nothing that could be relied on; it is not what this run was asked to load.
    if (!(error instanceof CodedError)) throw error;
    return false;
  } finally {
    await file.close();
  }
}

/** Where the source was seen, and the same compressed or not, without the paths that are given. */
export function placesOf({ name, hint }: Wanted, without: readonly Buffer[]): Buffer[] {
  const { path } = hintOf(hint);
  const named = [pathOfSource(name), ...(path === undefined ? [] : [Buffer.from(path, 'base64')])];
  const all = named.flatMap((place) => [place, Buffer.concat([place, Buffer.from('.gz')])]);
  return all.filter(
    (place, index) =>
      all.findIndex((other) => other.equals(place)) === index && !without.some((other) => other.equals(place)),
  );
}

/** Files that are opened in search of moved bytes, at most. */
const OPENED_MAX = 200;
/** Files that may be the moved one and are not it by inode: more of them are not compared by name. */
const LOOKED_AT_MAX = 2_000;

/**
 * The file that holds what was committed of a source: first where it was seen, then around the path that is given, the likeliest first.
 * Undefined if nothing was committed, because then nothing can be proved, or if no file that was looked at holds it. `suits`: and may be it.
 */
export async function findMoved(
  source: Wanted,
  near: Buffer,
  without: readonly Buffer[],
  suits: (place: Buffer) => Promise<boolean> = () => Promise.resolve(true),
): Promise<FileRef | undefined> {
  if (source.proofs.length === 0) return undefined;
  const seen = placesOf(source, without);
  for (const place of seen) if ((await placeHolds(place, source)) && (await suits(place))) return refAt(place);
  const neighbours = await around(folderOf(near));
  const same = neighbours.sameAs(hintOf(source.hint)).map(({ path }) => path);
  const rest = neighbours.files.slice(0, LOOKED_AT_MAX).map(({ path }) => ({
    path,
    rank: areKin(path, pathOfSource(source.name)) ? 1 : 2,
  }));
  const likeliest = rest.toSorted((a, b) => a.rank - b.rank || Buffer.compare(a.path, b.path));
  const looked = new Set([...without, ...seen].map((path) => path.toString('base64')));
  let opened = 0;
  for (const path of [...same, ...likeliest.map((one) => one.path)]) {
    const key = path.toString('base64');
    if (looked.has(key)) continue;
    looked.add(key);
    if (++opened > OPENED_MAX) break;
    if ((await placeHolds(path, source, true)) && (await suits(path))) return refAt(path);
  }
  return undefined;
}

const refAt = (path: Buffer): FileRef => refOf(path.subarray(path.lastIndexOf(47) + 1), path);

/** True if the file that is listed under this path is the source's own inode. */
export const isInode = (
  hint: unknown,
  { inode, device, bornNs }: Pick<Hint, 'inode' | 'device' | 'bornNs'>,
): boolean => {
  const before = hintOf(hint);
  return before.inode === inode && before.device === device && before.bornNs === bornNs;
};

/** Another file that still has the inode under which the source was seen, and its bytes: the one that is looked at is a new one then. */
export async function inodeElsewhere(source: Wanted, near: Buffer): Promise<FileRef | undefined> {
  const hint = hintOf(source.hint);
  if (hint.inode === undefined || source.proofs.length === 0) return undefined;
  for (const { path } of (await around(folderOf(near))).sameAs(hint))
    if (!path.equals(near) && (await placeHolds(path, source))) return refAt(path);
  return undefined;
}

const base = (path: Buffer): string => displayName(path.subarray(path.lastIndexOf(47) + 1));
const dateIn = (name: string): string => /\d{4}-?\d{2}-?\d{2}/.exec(name)?.[0].replaceAll('-', '') ?? '';
const stemOf = (name: string): string =>
  name
    .replace(/(\.(gz|log|txt|out|err|json|old|bak))+(?=[.\d-]|$)/gi, '')
    .replace(/[\d._-]+/g, '')
    .toLowerCase();

/** Whether two names can be those of one log before and after it was rotated: not of two days. */
const ofOneDay = (one: Buffer, other: Buffer): boolean => {
  const [dateA, dateB] = [dateIn(base(one)), dateIn(base(other))];
  return dateA === '' || dateB === '' || dateA === dateB;
};

/** Whether two names are the same but for dates, numbers and suffixes, and not of two days. */
const areKin = (one: Buffer, other: Buffer): boolean =>
  stemOf(base(one)) === stemOf(base(other)) && ofOneDay(one, other);

/** Fewer bytes may be alike by chance, such as the same header: another name then needs a better reason to be the same file. */
const MOVED_BYTES_MIN = 512;

/**
 * Whether a file that holds all that was committed of a source may be taken for it: that is enough bytes; or it is the same inode;
 * or it has the name of the rotated log; or it holds that and nothing else.
 */
export const isTellable = (
  source: Wanted,
  {
    path,
    hint,
    size,
  }: { readonly path: Buffer; readonly hint: Pick<Hint, 'inode' | 'device' | 'bornNs'>; readonly size: number },
): boolean => {
  const named = pathOfSource(source.name);
  if (provenTo(source.proofs) >= MOVED_BYTES_MIN || isInode(source.hint, hint) || areKin(path, named)) return true;
  return size === provenTo(source.proofs) && ofOneDay(path, named);
};
