// What lives here: whether a file is one that was loaded before: grown, renamed, rotated, cut short or written anew.
// Invariant: sameness is proved by hashing committed ranges again; names, inodes and times only say where to look. Where nothing was committed, nothing is proved.
// Apart because the ledger knows what was committed and the file system what is there, and neither knows the other.
import { CodedError } from '../model/failure.ts';
import { type Asked, claimOf, heldOf, type KnownSource, movedTo, seenAt } from './file-claim.ts';
import { edgesOf, headsOf, holds, longHeadsOf, provenTo, sampleOf, untouched } from './file-proof.ts';
import { displayName, type FileRef, pathOf } from './files.ts';
import { hintOf, inodeElsewhere, isInode, pathOfSource } from './file-moved.ts';

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

export interface Question extends Asked {
  readonly sourceName: Uint8Array;
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
  const isNamed = named !== undefined && named.proofs.length > 0 && (await isStill(question, named));
  if (isNamed && isInode(named.hint, question.hint)) return { kind: 'known', source: named };
  const others = await othersOf(question, named);
  const { held, others: lost } = await heldOf(question, others.alike);
  const claim = await claimOf(question, held);
  if (isNamed) {
    // The name may have been given to another file: to one that is known, or to a new one that happens to begin alike, such as with the same header.
    const old = await inodeElsewhere(named, here);
    if (old === undefined && (!claim || !isInode(claim.hint, question.hint) || isVersionOf(claim, named)))
      return { kind: 'known', source: named };
    if (claim) return knownAs(claim, here);
    if (old) return { kind: 'new', version: named.version + 1, moved: { source: named, to: old } };
  }
  if (claim) return knownAs(claim, here);
  for (const source of lost) if (await isAltered(question, source)) throw altered(question, source);
  for (const source of others.here) if (await isAltered(question, source, true)) throw altered(question, source);
  const [copyOf] = held;
  // Nothing of it was ever committed, so there is nothing that it could have lost.
  if (named?.proofs.length === 0 && copyOf === undefined) return { kind: 'known', source: named };
  const found: Identity = {
    kind: 'new',
    version: (named?.version ?? 0) + 1,
    ...(copyOf === undefined ? {} : { copyOf }),
  };
  if (named === undefined || named.proofs.length === 0) return found;
  const to = await movedTo(named, question);
  if (to !== undefined) return { ...found, moved: { source: named, to } };
  if (question.onRewrite === 'separate') return found;
  const rest = named.proofs.filter((proof) => proof.to <= size);
  if (size < provenTo(named.proofs) && (await holds(bytes, rest))) throw shrunk(question, named);
  throw rewritten(question, named);
}

/** Sources with other names: those that begin alike, and those that were seen here after the one with the name was. */
async function othersOf(
  { bytes, size, known, hint }: Question,
  named: KnownSource | undefined,
): Promise<{ alike: KnownSource[]; here: KnownSource[] }> {
  const some = (sources: readonly KnownSource[]): KnownSource[] =>
    sources.filter(({ id, proofs }) => id !== named?.id && proofs.length > 0);
  const here = some(await known.byPlace(hint)).filter(
    (source) => named === undefined || seenAt(source) > seenAt(named),
  );
  const long = (await longHeadsOf(bytes, size)).map(({ sha256 }) => sha256);
  const alike = some(await known.byHead(await headsOf(bytes, size), long));
  return { alike, here: here.filter(({ id }) => !alike.some((one) => one.id === id)) };
}

const isVersionOf = (one: KnownSource, other: KnownSource): boolean => Buffer.compare(one.name, other.name) === 0;

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

/**
 * Moved and cut short, or moved and changed: it begins as the other does, is the same file or equal to a great part, and the other's bytes are nowhere else.
 * `seenHere`: or the other was seen in this place last.
 */
async function isAltered(question: Question, source: KnownSource, seenHere = false): Promise<boolean> {
  const { bytes, size, hint, onRewrite } = question;
  if (onRewrite === 'separate') return false;
  let held = 0;
  for (const proof of source.proofs)
    if (proof.to <= size && (await holds(bytes, [proof]))) held += proof.to - proof.from;
  const enough = held >= ALTERED_SHARE_MIN * Math.min(size, provenTo(source.proofs));
  if (!enough && !seenHere && !isInode(source.hint, hint)) return false;
  return (await movedTo(source, question)) === undefined;
}

const altered = (question: Question, source: KnownSource): CodedError =>
  question.size < provenTo(source.proofs) ? shrunk(question, source) : rewritten(question, source);

function knownAs(source: KnownSource, here: Buffer): Identity {
  const path = pathOfSource(source.name);
  return { kind: 'known', source, ...(path.equals(here) ? {} : { renamedFrom: displayName(path) }) };
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
