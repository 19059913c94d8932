// What lives here: proving that bytes are still those that were committed, by hashing committed ranges again.
// Invariant: what says "the same" has compared hashes of bytes; times and sizes only say how closely to look.
// Apart because recognising a file before it is read and watching it while it is read ask the same question.
import { createHash } from 'node:crypto';
import type { Bytes } from '../flow/parse/bytes.ts';
import type { Proof, Range } from '../flow/types.ts';
import type { OpenFile, Seen } from './files.ts';

const BLOCK_BYTES = 1 << 20;

/** Hash of a range; undefined if the bytes end before it does. */
async function sha256Of(bytes: Bytes, { from, to }: Range): Promise<Buffer | undefined> {
  const sha256 = createHash('sha256');
  const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, Math.max(1, to - from)));
  for (let at = from; at < to;) {
    const count = await bytes.read(block.subarray(0, Math.min(block.length, to - at)), at);
    if (count === 0) return undefined;
    sha256.update(block.subarray(0, count));
    at += count;
  }
  return sha256.digest();
}

/** True if the bytes still hold every proof. */
export async function holds(bytes: Bytes, proofs: readonly Proof[]): Promise<boolean> {
  for (const proof of proofs) if ((await sha256Of(bytes, proof))?.equals(proof.rawSha256) !== true) return false;
  return true;
}

/** Where the last of them ends. */
export const provenTo = (proofs: readonly Proof[]): number => proofs.at(-1)?.to ?? 0;

export const edgesOf = (proofs: readonly Proof[]): readonly Proof[] =>
  proofs.length <= 2 ? proofs : [proofs[0]!, proofs.at(-1)!];

/** Bytes that are hashed again of a file that only seems to have grown, at each start: reading all of a log of gigabytes each hour would be too much. */
const SAMPLE_BYTES_MAX = 64 * 1024 * 1024;

/** First and last, and as many in between, evenly spread, as are affordable. All of them, where they are. */
export function sampleOf(proofs: readonly Proof[], bytesMax = SAMPLE_BYTES_MAX): readonly Proof[] {
  const bytes = proofs.reduce((sum, { from, to }) => sum + to - from, 0);
  if (bytes <= bytesMax) return proofs;
  const step = Math.ceil((proofs.length * bytes) / proofs.length / bytesMax);
  return proofs.filter((_, index) => index % step === 0 || index === proofs.length - 1);
}

/** First bytes by which the ledger finds a file under another name. */
const HEAD_BYTES = 64;

/** Hashes of the beginnings of a file, the longest last: a source that was shorter when it was seen had one of the shorter ones. */
export async function headsOf(bytes: Bytes, size: number): Promise<Buffer[]> {
  const block = Buffer.alloc(Math.min(HEAD_BYTES, size));
  const count = block.length === 0 ? 0 : await bytes.read(block, 0);
  return Array.from({ length: count }, (_, index) =>
    createHash('sha256')
      .update(block.subarray(0, index + 1))
      .digest(),
  );
}

/** The longer beginnings by which files with the same header are told apart: each multiple of the step. */
const LONG_STEP_BYTES = 64;
const LONG_BYTES_MAX = 4_096;

/** A longer beginning of a file. */
export interface LongHead {
  readonly sha256: Buffer;
  readonly bytes: number;
}

/** The longer beginnings of a file, the longest last. */
export async function longHeadsOf(bytes: Bytes, size: number): Promise<LongHead[]> {
  const block = Buffer.alloc(Math.min(LONG_BYTES_MAX, size));
  const count = block.length === 0 ? 0 : await bytes.read(block, 0);
  const sha256 = createHash('sha256');
  const heads: LongHead[] = [];
  for (let to = LONG_STEP_BYTES; to <= count; to += LONG_STEP_BYTES) {
    sha256.update(block.subarray(to - LONG_STEP_BYTES, to));
    heads.push({ sha256: sha256.copy().digest(), bytes: to });
  }
  return heads;
}

/** A change within this time of the state that was seen may leave the same times. */
export const YOUNG_MS = 2_000;

/** Whether a file certainly was not written to between two looks. */
export const untouched = (before: Seen & { at?: number }, now: Seen): boolean =>
  before.inode === now.inode &&
  before.device === now.device &&
  before.bytes === now.bytes &&
  before.modifiedNs === now.modifiedNs &&
  before.changedNs === now.changedNs &&
  (before.at ?? 0) - Number(BigInt(before.changedNs) / 1_000_000n) > YOUNG_MS;

/**
 * Whether a file still holds what was read of it. `whole`: everything is compared where the file was written to since `before`; else first and last.
 * Where a record was cut in two by what was written, the byte before a committed range is no end of a line.
 */
export async function stillHolds(
  { file, bytes }: { readonly file: OpenFile; readonly bytes: Bytes },
  before: Seen,
  proofs: readonly Proof[],
  whole: boolean,
): Promise<boolean> {
  const quiet = untouched(before, await file.seen());
  // What is compressed is decoded from its beginning: too much for a look in between.
  if (file.codec !== 'none' && (quiet || !whole)) return true;
  if (quiet || !whole) return await holds(bytes, edgesOf(proofs));
  return (await holds(bytes, proofs)) && (await seamsHold(bytes, proofs.slice(1)));
}

const NEWLINE = 10;

async function seamsHold(bytes: Bytes, proofs: readonly Proof[]): Promise<boolean> {
  const one = Buffer.alloc(1);
  for (const { from } of proofs) if ((await bytes.read(one, from - 1)) === 1 && one[0] !== NEWLINE) return false;
  return true;
}
