// What lives here: whether a file is one that was loaded before: grown, renamed, rotated, cut short or written anew.
// Invariant: sameness is proved by hashing committed ranges again; names, inodes and times only say where to look. Where nothing was committed, nothing is proved.
// Apart because the ledger knows what was committed and the file system what is there, and neither knows the other.
import { CodedError } from '../model/failure.ts';
import type { Bytes } from '../flow/parse/bytes.ts';
import { edgesOf, headsOf, holds, provenTo, sampleOf, untouched } from './file-proof.ts';
import type { Proof } from '../flow/types.ts';
import { displayName, type FileRef, type OpenFile, pathOf } from './files.ts';
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
  /** Sources of the pipeline and the target, whatever their name, whose first bytes have one of these hashes. */
  byHead(heads: readonly Uint8Array[]): Promise<readonly KnownSource[]>;
}

export type OnRewrite = 'ask' | 'separate';

export type Identity =
  /** Never seen: a source is to be made with this version. */
  | {
      readonly kind: 'new';
      readonly version: number;
      /** Holds the same bytes under another name: both are loaded, and the run says so. */
      readonly copyOf?: KnownSource;
      /** The source that had this name before, and the file in which its bytes are now. */
      readonly moved?: { readonly source: KnownSource; readonly to: FileRef };
    }
  /** Seen before: what of it is new is read. */
  | { readonly kind: 'known'; readonly source: KnownSource; readonly renamedFrom?: string };

export interface Question {
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
 * the pipeline says `ask`. Rotation is neither: if the old bytes now stand in another file, the name simply begins anew.
 */
export async function identify(question: Question): Promise<Identity> {
  const { ref, known, size, bytes } = question;
  const here = pathOf(ref);
  const named = await known.byName(question.sourceName);
  if (named !== undefined && named.proofs.length > 0 && (await isStill(question, named))) {
    // The name may have been given to a new file that happens to begin alike, such as with the same header.
    const old = isInode(named.hint, question.hint) ? undefined : await inodeElsewhere(named, here);
    if (old === undefined) return { kind: 'known', source: named };
    return { kind: 'new', version: named.version + 1, moved: { source: named, to: old } };
  }
  const version = (named?.version ?? 0) + 1;
  const { same, copyOf } = await sameBytes(question, named);
  if (same !== undefined) return same;
  // Nothing of it was ever committed, so there is nothing that it could have lost.
  if (named?.proofs.length === 0 && copyOf === undefined) return { kind: 'known', source: named };
  const copied = copyOf === undefined ? {} : { copyOf };
  if (named === undefined || named.proofs.length === 0) return { kind: 'new', version, ...copied };
  const to = await findMoved(named, here, [here]);
  if (to !== undefined) return { kind: 'new', version, ...copied, moved: { source: named, to } };
  if (question.onRewrite === 'separate') return { kind: 'new', version, ...copied };
  const rest = named.proofs.filter((proof) => proof.to <= size);
  if (size < provenTo(named.proofs) && (await holds(bytes, rest))) throw shrunk(question, named);
  throw rewritten(question, named);
}

/** Where nobody wrote to it, first and last are compared; where it has grown in its place, as much as is affordable; else all. */
async function isStill({ bytes, size, hint }: Question, { proofs, hint: before }: KnownSource): Promise<boolean> {
  if (provenTo(proofs) > size) return false;
  const seen = hintOf(before);
  const grown = isInode(before, hint) && (seen.bytes ?? Infinity) < hint.bytes;
  const quiet = seen.changedNs !== undefined && untouched(seen as typeof hint, hint);
  return await holds(bytes, quiet ? edgesOf(proofs) : grown ? sampleOf(proofs) : proofs);
}

/** Of what is in both, so much has to be equal for a file to be taken for another one that was altered. */
const ALTERED_SHARE_MIN = 0.5;

/** Another source that these bytes prove to be, if its old place no longer holds them; else it is a copy. Throws if it is one that was altered. */
async function sameBytes(
  question: Question,
  named: KnownSource | undefined,
): Promise<{ same?: Identity; copyOf?: KnownSource }> {
  const { bytes, size, known, ref, hint } = question;
  const here = pathOf(ref);
  let copyOf: KnownSource | undefined;
  const candidates = await known.byHead(await headsOf(bytes, size));
  for (const source of candidates.toSorted((a, b) => provenTo(b.proofs) - provenTo(a.proofs))) {
    const { proofs } = source;
    if (source.id === named?.id || proofs.length === 0) continue;
    if (provenTo(proofs) > size || !(await holds(bytes, proofs))) {
      if (await isAltered(question, source)) throw altered(question, source);
      continue;
    }
    if (isTellable(source, { path: here, hint, size }) && !(await stands(source, here)))
      return { same: { kind: 'known', source, ...renamed(source, here) } };
    copyOf ??= source;
  }
  return copyOf === undefined ? {} : { copyOf };
}

/** Moved and cut short, or moved and changed: it begins as the other does, is the same file or equal to a great part, and the other's bytes are nowhere else. */
async function isAltered({ bytes, size, hint, ref, onRewrite }: Question, source: KnownSource): Promise<boolean> {
  if (onRewrite === 'separate') return false;
  const here = pathOf(ref);
  let held = 0;
  for (const proof of source.proofs)
    if (proof.to <= size && (await holds(bytes, [proof]))) held += proof.to - proof.from;
  const enough = held >= ALTERED_SHARE_MIN * Math.min(size, provenTo(source.proofs));
  if (!enough && !isInode(source.hint, hint)) return false;
  return !(await stands(source, here)) && (await findMoved(source, here, [here])) === undefined;
}

const altered = (question: Question, source: KnownSource): CodedError =>
  question.size < provenTo(source.proofs) ? shrunk(question, source) : rewritten(question, source);

const renamed = ({ name }: KnownSource, here: Buffer): { renamedFrom?: string } => {
  const path = pathOfSource(name);
  return path.equals(here) ? {} : { renamedFrom: displayName(path.subarray(1)) };
};

/** Whether the bytes are still where they were, in a file that is not the one looked at. */
async function stands(source: KnownSource, here: Buffer): Promise<boolean> {
  for (const place of placesOf(source, [here])) if (await placeHolds(place, source)) return true;
  return false;
}

const WAYS =
  'What was loaded stays. Put the old file back, under any name in its folder, and retry; or abort, and start again with --set onRewrite=separate to load it beside what was loaded before.';

export const shrunk = ({ ref, size }: Pick<Question, 'ref' | 'size'>, source: KnownSource): CodedError =>
  new CodedError(
    'source_shrunk',
    `${ref.name} has ${size} bytes; ${provenTo(source.proofs)} were loaded from it before (source ${source.id}), and no file in its folder holds them. ${WAYS}`,
  );

export const rewritten = ({ ref }: Pick<Question, 'ref'>, source: KnownSource): CodedError =>
  new CodedError(
    'source_rewritten',
    `${ref.name} holds other bytes than those loaded from it before (source ${source.id}, ${provenTo(source.proofs)} bytes), and no file in its folder holds them. ${WAYS}`,
  );
