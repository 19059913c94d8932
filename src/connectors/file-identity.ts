// What lives here: whether a file is one that was loaded before, grown, renamed, cut short or written anew.
// Invariant: sameness is proved by hashing committed ranges again; names, inodes and times only say where to look.
// Apart because the ledger knows what was committed and the file system what is there, and neither knows the other.
import { createHash, type Hash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { CodedError } from '../model/failure.ts';
import { type Bytes, bytesOf } from '../flow/parse/bytes.ts';
import type { Range } from '../flow/types.ts';
import { displayName, type FileRef, openFile, type OpenFile } from './files.ts';

/** A committed range with the hash of its bytes. */
export interface Proof extends Range {
  readonly rawSha256: Uint8Array;
}

/** A source as the ledger knows it. */
export interface KnownSource {
  readonly id: string;
  /** Name of the source: absolute path without its first slash and the suffix of a codec. */
  readonly name: Uint8Array;
  readonly version: number;
  /** First and last committed range that were really read; none if nothing was. */
  readonly proofs: readonly Proof[];
  /** End of the last byte that any run has planned or committed. */
  readonly plannedTo: number;
  /** What was noted when it was last opened (`OpenFile.hint`): settles whether a short file was moved, which its few bytes cannot. */
  readonly hint?: unknown;
}

/** What the ledger is asked; `src/store/sources.ts` answers it. */
export interface KnownSources {
  /** The newest version under this name. */
  byName(name: Uint8Array): Promise<KnownSource | undefined>;
  /** Sources of the pipeline, whatever their name, whose first committed range ends at or before `size` and holds these bytes. */
  byStart(size: number, holdsFirst: (first: Proof) => Promise<boolean>): Promise<readonly KnownSource[]>;
}

export type OnRewrite = 'ask' | 'separate';

export type Identity =
  /** Never seen: a source is to be made with this version. `copyOf` holds the same bytes under another name: worth a warning. */
  | {
      readonly kind: 'new';
      readonly version: number;
      readonly from: 0;
      readonly copyOf?: string;
    }
  /** Seen before: what is new begins at `from`, which is the file's end if nothing is. */
  | { readonly kind: 'known'; readonly sourceId: string; readonly from: number; readonly renamedFrom?: string };

/** Short files begin alike by chance: below this, only the same inode tells a file that was moved from another one. */
const MOVED_BYTES_MIN = 512;

const isInode = (hint: unknown, { inode, device }: OpenFile['hint']): boolean =>
  typeof hint === 'object' &&
  hint !== null &&
  'inode' in hint &&
  'device' in hint &&
  hint.inode === inode &&
  hint.device === device;

/** True if the bytes still hold every proof. */
async function holds(bytes: Bytes, size: number, proofs: readonly Proof[]): Promise<boolean> {
  for (const { from, to, rawSha256 } of proofs) {
    if (to > size || !(await sha256Of(bytes, from, to)).equals(rawSha256)) return false;
  }
  return true;
}

async function sha256Of(bytes: Bytes, from: number, to: number): Promise<Buffer> {
  const sha256 = createHash('sha256');
  await addTo(sha256, bytes, from, to);
  return sha256.digest();
}

/** Returns how many bytes there were. */
async function addTo(sha256: Hash, bytes: Bytes, from: number, to: number): Promise<number> {
  const block = Buffer.allocUnsafe(Math.min(1 << 20, Math.max(1, to - from)));
  let at = from;
  while (at < to) {
    const count = await bytes.read(block.subarray(0, Math.min(block.length, to - at)), at);
    if (count === 0) break;
    sha256.update(block.subarray(0, count));
    at += count;
  }
  return at - from;
}

/** Asked for ranges from the start, shorter ones first, it reads the file once, however many sources there are to compare with. */
function startOf(bytes: Bytes): (first: Proof) => Promise<boolean> {
  const sha256 = createHash('sha256');
  let at = 0;
  return async ({ from, to, rawSha256 }) => {
    if (from !== 0 || to < at) return await holds(bytes, to, [{ from, to, rawSha256 }]);
    at += await addTo(sha256, bytes, at, to);
    return at === to && sha256.copy().digest().equals(rawSha256);
  };
}

interface Question {
  readonly ref: FileRef;
  readonly sourceName: Uint8Array;
  readonly hint: OpenFile['hint'];
  readonly bytes: Bytes;
  /** Bytes of the decoded stream. */
  readonly size: number;
  readonly known: KnownSources;
  /** What to do if other bytes stand where committed ones were. Default `ask`. */
  readonly onRewrite?: OnRewrite;
}

/**
 * Says what a file is. Throws `source_shrunk` if a known source lost its end, and `source_rewritten` if it holds other bytes and
 * the pipeline says `ask`. Rotation is neither: if the old bytes now stand in a file beside it, the name simply begins anew.
 */
export async function identify(question: Question): Promise<Identity> {
  const { bytes, size, known, onRewrite = 'ask' } = question;
  const named = await known.byName(question.sourceName);
  if (named !== undefined && (await holds(bytes, size, named.proofs))) {
    if (named.plannedTo <= size) return { kind: 'known', sourceId: named.id, from: named.plannedTo };
    throw shrunk(question, named);
  }
  const version = (named?.version ?? 0) + 1;
  const same = await sameBytes(question, named);
  if (same !== undefined) {
    const path = pathOfSource(same.name);
    // The old place no longer holds these bytes: the file was moved here, and what was committed of it counts.
    const tellable = same.plannedTo >= MOVED_BYTES_MIN || isInode(same.hint, question.hint);
    if (tellable && !(await placeHolds(path, same))) {
      const renamedFrom = displayName(same.name);
      if (same.plannedTo > size) throw shrunk(question, same);
      return { kind: 'known', sourceId: same.id, from: same.plannedTo, renamedFrom };
    }
    if (named === undefined) return { kind: 'new', version, from: 0, copyOf: displayName(same.name) };
  }
  if (named === undefined || (await movedBeside(named))) return { kind: 'new', version, from: 0 };
  if (onRewrite === 'separate') return { kind: 'new', version, from: 0 };
  if (
    size < named.plannedTo &&
    (await holds(
      bytes,
      size,
      named.proofs.filter(({ to }) => to <= size),
    ))
  )
    throw shrunk(question, named);
  throw new CodedError(
    'source_rewritten',
    `${question.ref.name} holds other bytes than those loaded from it before (source ${named.id}, ${named.plannedTo} bytes). What was loaded stays. Retry once the old file is back; or abort, and start again with --set onRewrite=separate to load it beside what was loaded before.`,
  );
}

const shrunk = ({ ref, size }: Question, { id, plannedTo }: KnownSource): CodedError =>
  new CodedError(
    'source_shrunk',
    `${ref.name} has ${size} bytes; ${plannedTo} were loaded or planned from it before (source ${id}). What was loaded stays. Put the whole file back and retry.`,
  );

/** Another source that these bytes prove to be; one that was never committed proves nothing. */
async function sameBytes(
  { bytes, size, known }: Question,
  named: KnownSource | undefined,
): Promise<KnownSource | undefined> {
  for (const candidate of await known.byStart(size, startOf(bytes))) {
    if (candidate.id === named?.id || candidate.proofs.length === 0) continue;
    if (await holds(bytes, size, candidate.proofs)) return candidate;
  }
  return undefined;
}

const pathOfSource = (name: Uint8Array): Buffer => Buffer.concat([Buffer.from('/'), name]);

/** True if the file at a path, or its compressed form, holds what was committed of a source. */
async function placeHolds(path: Buffer, source: KnownSource): Promise<boolean> {
  for (const suffix of ['', '.gz']) {
    const place = Buffer.concat([path, Buffer.from(suffix)]);
    const file = await openFile({ name: displayName(place), path: place.toString('base64') }).catch(() => undefined);
    if (file === undefined) continue;
    try {
      // A compressed file's size is known only by decoding it; a range behind its end then hashes to something else.
      const size = file.codec === 'none' ? file.storedBytes : Number.MAX_SAFE_INTEGER;
      if (await holds(bytesOf(file.fd, file.codec), size, source.proofs)) return true;
    } catch (error) {
      // A damaged neighbour holds nothing that could be relied on; it is not what this run was asked to load.
      if (!(error instanceof CodedError)) throw error;
    } finally {
      await file.close();
    }
  }
  return false;
}

/** Files beside a rotated one that are looked at, at most. */
const SIBLINGS_MAX = 100;

/** True if a file whose name begins with the source's holds its bytes now: `app.log` became `app.log.1`. */
async function movedBeside(source: KnownSource): Promise<boolean> {
  if (source.proofs.length === 0) return false;
  const path = pathOfSource(source.name);
  const slash = path.lastIndexOf(47);
  const folder = path.subarray(0, Math.max(1, slash));
  const base = path.subarray(slash + 1);
  const names = await readdir(folder, { encoding: 'buffer' }).catch(() => []);
  const siblings = names.filter((name) => name.length > base.length && name.subarray(0, base.length).equals(base));
  for (const name of siblings.slice(0, SIBLINGS_MAX)) {
    if (await placeHolds(Buffer.concat([folder, Buffer.from(slash === 0 ? '' : '/'), name]), source)) return true;
  }
  return false;
}
