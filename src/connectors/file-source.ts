// What lives here: a listed file made ready for an attempt: opened, recognised and planned; and what the same run still has to read elsewhere.
// Invariant: bytes that a run has begun to read are read from whichever file holds them now; nothing is read from a file that does not hold what was committed.
// Apart because stages and sources of records need all of it together, and tests need each part alone.
import type { Pool } from 'pg';
import type { Bins, FlowContext } from '../flow/context.ts';
import { type Bytes, bytesOf } from '../flow/parse/bytes.ts';
import { CodedError } from '../model/failure.ts';
import { ensureRun } from '../store/ensure-run.ts';
import { binsOf, uncovered } from '../store/ledger.ts';
import { addNote } from '../store/notes.ts';
import { coverers, dropPlan, type Plan, plansOfCall, type Slice } from '../store/plans.ts';
import { insertSource, noteSource, type SourceOwner } from '../store/sources.ts';
import { type EndOptions, finishedEnd } from './file-end.ts';
import type { KnownSource } from './file-claim.ts';
import { identify, type Identity, type OnRewrite, rewritten, shrunk } from './file-identity.ts';
import { findMoved, pathOfSource } from './file-moved.ts';
import { planFile, type Recognised, type SeenAt } from './file-plan.ts';
import { holds, stillHolds } from './file-proof.ts';
import type { Proof } from '../flow/types.ts';
import { displayName, type FileRef, openFile, type OpenFile, pathOf } from './files.ts';
import { knownSource, knownSources, type SourcesOf } from './known-sources.ts';

export interface FileOptions extends Omit<EndOptions, 'past'> {
  /** Table that the records go to; empty where they go to none. */
  readonly target: string;
  /** What to do about a known name with other bytes. Default `ask`: throws `source_rewritten`. */
  readonly onRewrite?: OnRewrite;
  /** Folder whose files the run reads each by itself: what was moved to another of them is read there. */
  readonly listed?: string;
}

/** A range of a source to be read. Whoever gets it closes it. */
export interface FileToRead {
  readonly sourceId: string;
  readonly slice: Slice;
  /** What was read, where all of it is committed already; then there is no file. */
  readonly done?: Bins;
  readonly file?: OpenFile;
  readonly bytes?: Bytes;
  /** Whether the file still holds what was read of it; `whole`: looked at closely. */
  readonly holds: (proofs: readonly Proof[], whole: boolean) => Promise<boolean>;
  /** Some of what this run has committed is not in the file, so what is there may be a mix. */
  readonly doubted: boolean;
  /** The same call has to read another file after this one. */
  readonly more: boolean;
  close(): Promise<void>;
}

/**
 * What this run reads for a listed file, one after another: first what it has begun and not finished, wherever that is now; then what follows
 * of the log that had the file's name before it was rotated, if no stage of its own reads that; then the file.
 * Throws `file_vanished`, `file_forbidden`, `file_not_regular`, `file_not_text`, `source_shrunk`, `source_rewritten`.
 */
export async function* filesToRead(
  pool: Pool,
  ctx: FlowContext,
  ref: FileRef,
  options: FileOptions,
): AsyncGenerator<FileToRead> {
  await ensureRun(pool, ctx);
  const of: SourcesOf = { pipeline: ctx.pipeline, target: options.target, stage: ctx.stage };
  const plans = await plansOfCall(pool, ctx);
  const read = new Set<string>();
  for (const plan of plans) {
    const left = await uncovered(pool, plan, plan);
    if (left.length > 0 && !plan.begun) continue;
    yield left.length === 0 ? { ...nothing(plan), done: await binsOf(pool, plan) } : await goOn(pool, of, plan, ref);
    read.add(plan.sourceId);
    await tellTaken(pool, ctx, plan);
  }
  const file = await openFile(ref).catch((error: unknown) => {
    if (read.size > 0 && isCode(error, 'file_vanished')) return undefined;
    throw error;
  });
  if (!file) return;
  for await (const found of recognised(pool, ctx, of, file, options)) {
    if (read.has(found.source.id)) {
      await found.file.close();
      continue;
    }
    const { more } = found;
    const before = plans.find(({ sourceId }) => sourceId === found.source.id)?.seen as SeenAt | undefined;
    const { sourceId, slice, seen } = await closing(found.file, () => planFile(pool, ctx, found, before));
    yield opened(found.file, found.bytes, { sourceId, slice, seen, doubted: false, more });
    read.add(sourceId);
    await tellTaken(pool, ctx, { ...ctx, ...slice, sourceId });
  }
  // The file that these were made for has gone before anything of it was read: nobody knows more of it than its name.
  for (const plan of plans)
    if (!plan.begun && !read.has(plan.sourceId)) await dropPlan(pool, { ...plan, execution: ctx.execution });
}

/** What a run has planned of a file, for giving up its rest: that has to work above all where the file is gone, cut short or written anew. */
export const filesPlanned = async (pool: Pool, ctx: FlowContext): Promise<FileToRead[]> =>
  (await plansOfCall(pool, ctx)).map(nothing);

const isCode = (error: unknown, code: string): boolean => error instanceof CodedError && error.failure.code === code;

const nothing = ({ sourceId, from, to, sealed }: Plan): FileToRead => ({
  sourceId,
  slice: { from, to, sealed },
  holds: () => Promise.resolve(true),
  doubted: false,
  more: false,
  close: () => Promise.resolve(),
});

function opened(
  file: OpenFile,
  bytes: Bytes,
  { seen, ...about }: Pick<FileToRead, 'sourceId' | 'slice' | 'doubted' | 'more'> & { readonly seen: SeenAt },
): FileToRead {
  return {
    ...about,
    file,
    bytes,
    holds: (proofs, whole) => stillHolds({ file, bytes: bytesOf(file.fd, file.codec) }, seen, proofs, whole),
    close: () => file.close(),
  };
}

async function closing<T>(file: OpenFile, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** A plan that was begun, in the file that holds its bytes now: the listed one, or the one they were moved to. */
async function goOn(pool: Pool, of: SourcesOf, plan: Plan, ref: FileRef): Promise<FileToRead> {
  const source = await knownSource(pool, of, plan.sourceId);
  const seen = plan.seen as SeenAt;
  const about = { sourceId: plan.sourceId, slice: plan, seen, more: false };
  const here = await openFile(ref).catch((error: unknown) => {
    if (isCode(error, 'file_vanished')) return undefined;
    throw error;
  });
  const bytes = here && bytesOf(here.fd, here.codec);
  const held = bytes ? await countHeld(bytes, source.proofs) : 0;
  if (here && bytes && held === source.proofs.length && (await reaches(bytes, plan.to)))
    return opened(here, bytes, { ...about, doubted: false });
  const moved = await findMoved(source, pathOf(ref), [pathOf(ref)]);
  if (moved) {
    await here?.close();
    const file = await openFile(moved);
    return opened(file, bytesOf(file.fd, file.codec), { ...about, doubted: false });
  }
  if (!here || !bytes) throw vanished(ref, plan);
  // Some of it is there and some is not: what was committed before and after it was written anew would be a mix.
  if (held > 0 && held < source.proofs.length) return opened(here, bytes, { ...about, doubted: true });
  await here.close();
  throw held === 0 ? rewritten({ ref }, source) : shrunk({ ref, size: here.storedBytes }, source);
}

const vanished = (ref: FileRef, { from, to }: Plan): CodedError =>
  new CodedError(
    'file_vanished',
    `${ref.name} is gone, and no file in its folder holds what was loaded of it; of its bytes ${from} to ${to}, which this run reads, not all are committed. What was committed stays. Put it back, under any name in its folder, and retry; or skip the file.`,
  );

async function countHeld(bytes: Bytes, proofs: readonly Proof[]): Promise<number> {
  let held = 0;
  for (const proof of proofs) if (await holds(bytes, [proof])) held++;
  return held;
}

const reaches = async (bytes: Bytes, to: number): Promise<boolean> =>
  (await bytes.read(Buffer.alloc(1), Math.max(0, to - 1))) === 1;

/** What the file is, and before it what it was: the rest of the log that had its name, where no other stage reads that. */
async function* recognised(
  pool: Pool,
  ctx: FlowContext,
  of: SourcesOf,
  file: OpenFile,
  options: FileOptions,
): AsyncGenerator<Recognised & { more: boolean }> {
  const bytes = bytesOf(file.fd, file.codec);
  const past = ctx.dataDate.slice(0, 10) < new Date(ctx.attemptAt).toISOString().slice(0, 10);
  const ends = { ...options, past };
  const { identity, end } = await closing(file, async () => {
    const end = await finishedEnd(file, bytes, ends);
    const known = knownSources(pool, of);
    const { ref, sourceName, hint } = file;
    const { onRewrite } = options;
    const question = { ref, sourceName, hint, bytes, size: end.to + end.left, known };
    const identity = await identify({ ...question, ...(onRewrite === undefined ? {} : { onRewrite }) });
    await tellIdentity(pool, ctx, file, identity);
    return { identity, end };
  });
  const moved = identity.kind === 'new' ? identity.moved : undefined;
  if (moved) await closing(file, () => notePlace(pool, moved.source, moved.to));
  if (moved && !isListed(moved.to, options.listed)) {
    const tail = await closing(file, () => openFile(moved.to));
    const found = bytesOf(tail.fd, tail.codec);
    let goesOn = false;
    try {
      const tailEnd = await closing(tail, () => finishedEnd(tail, found, { ...ends, sealed: true }));
      yield { file: tail, bytes: found, source: moved.source, end: tailEnd, more: true };
      goesOn = true;
    } finally {
      if (!goesOn) await file.close();
    }
  }
  const source = await closing(file, async () =>
    identity.kind === 'known' ? identity.source : await sourceOf(pool, of, file, identity.version),
  );
  yield { file, bytes, source, end, more: false };
}

/** Whoever looks at the place to which a log was moved has to know what stood there, also before anything new of it is planned. */
async function notePlace(pool: Pool, { id }: KnownSource, to: FileRef): Promise<void> {
  const file = await openFile(to).catch(() => undefined);
  await file?.close();
  if (file) await noteSource(pool, id, { hint: { ...file.hint, at: Date.now() } });
}

const isListed = (ref: FileRef, folder: string | undefined): boolean => {
  const path = pathOf(ref);
  return folder !== undefined && path.subarray(0, path.lastIndexOf(47)).equals(Buffer.from(folder.replace(/\/+$/, '')));
};

const sourceOf = async (
  pool: Pool,
  { pipeline, target }: SourceOwner,
  file: OpenFile,
  version: number,
): Promise<KnownSource> => ({
  ...(await insertSource(pool, { pipeline, target, name: file.sourceName, version, hint: file.hint })),
  proofs: [],
});

async function tellIdentity(pool: Pool, ctx: FlowContext, { ref }: OpenFile, identity: Identity): Promise<void> {
  const note = (text: string): Promise<unknown> => addNote(pool, ctx, text);
  if (identity.kind === 'known') {
    if (identity.renamedFrom !== undefined)
      await note(`${ref.name} is what was loaded as ${identity.renamedFrom}: the same log under another name.`);
    return;
  }
  const { copyOf, moved } = identity;
  if (copyOf)
    await note(
      `${ref.name} holds the bytes that were loaded as ${displayName(pathOfSource(copyOf.name))}. It was taken for a file of its own, so they are loaded for both.`,
    );
  if (moved) await note(`${ref.name} begins anew: what was loaded under its name before is in ${moved.to.name} now.`);
}

/** Another run has loaded some of what this one meant to read. */
async function tellTaken(
  pool: Pool,
  ctx: FlowContext,
  plan: Slice & {
    readonly sourceId: string;
    readonly runKey: string;
    readonly generation: number;
    readonly stage: string;
  },
): Promise<void> {
  if (ctx.generation > 1) return;
  for (const { runKey, bytes, did } of await coverers(pool, plan, plan))
    await addNote(
      pool,
      ctx,
      `Run ${runKey} has ${did} ${bytes} of the bytes ${plan.from} to ${plan.to} that this run had planned.`,
    );
}
