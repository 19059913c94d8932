// What lives here: what a run is to read of a source, and the sentences that say why.
// Invariant: what another run has committed is not read again; what another run has only planned is left to it while it can still read it, and is nobody's else.
// Apart from identity: that says what a file is, this says whose its bytes are.
import type { Pool } from 'pg';
import type { FlowContext } from '../flow/context.ts';
import type { Range } from '../flow/types.ts';
import type { Db } from '../store/db.ts';
import { noteLeft } from '../store/left.ts';
import { addNote } from '../store/notes.ts';
import { coverers, earlierSlice, firstFree, otherPlans, planAlone, type PlanKey, type Slice } from '../store/plans.ts';
import { noteSource } from '../store/sources.ts';
import type { FinishedEnd } from './file-end.ts';
import type { KnownSource } from './file-claim.ts';
import { placeHolds } from './file-moved.ts';
import { headsOf, longHeadsOf, untouched } from './file-proof.ts';
import { type OpenFile, pathOf, type Seen } from './files.ts';
import type { Bytes } from '../flow/parse/bytes.ts';

/** A file that was opened, with what it was taken for. */
export interface Recognised {
  readonly file: OpenFile;
  readonly bytes: Bytes;
  readonly source: KnownSource;
  readonly end: FinishedEnd;
}

/** How a file was when its run planned it, and when that was. */
export type SeenAt = Seen & { readonly at: number };

export interface Planned {
  readonly sourceId: string;
  readonly slice: Slice;
  readonly seen: SeenAt;
}

/** Writes down what this run reads of the source, or finds what it wrote before. */
export async function planFile(pool: Pool, ctx: FlowContext, found: Recognised, before?: SeenAt): Promise<Planned> {
  const { file, bytes, source } = found;
  const { runKey, generation, stage, execution } = ctx;
  const key: PlanKey = { runKey, generation, stage, execution, sourceId: source.id };
  const { path: _path, ...state } = file.hint;
  const now: SeenAt = { ...state, at: Date.now() };
  const blank = source.proofs.length === 0;
  const head = blank ? (await headsOf(bytes, found.end.to)).at(-1) : undefined;
  const long = blank ? (await longHeadsOf(bytes, found.end.to)).at(-1) : undefined;
  await noteSource(pool, source.id, { hint: { ...file.hint, at: now.at }, ...(head ? { head } : {}), long });
  const left = ctx.generation === 1 ? await leftToOthers(pool, ctx, key, found) : [];
  const anew = before === undefined || !untouched({ ...before, at: Infinity }, now);
  const about = { place: pathOf(file.ref), seen: now, anew };
  const slice = await planAlone(pool, key, about, (db) =>
    ctx.generation === 1 ? firstTime(db, key, found.end, left) : again(db, key, found.end),
  );
  await tell(pool, ctx, key, { ...found, slice, isLeft: left.length > 0 });
  return { sourceId: source.id, slice, seen: anew ? now : before };
}

/** From the first byte that is nobody else's. */
async function firstTime(db: Db, key: PlanKey, { to, sealed }: FinishedEnd, left: readonly Range[]): Promise<Slice> {
  const from = await firstFree(db, key, 0, left);
  return { from: Math.min(from, to), to, sealed };
}

/** A reprocessing reads what the run read before, and what was appended since if nobody else took it; all of it, if it never read anything. */
async function again(db: Db, key: PlanKey, { to, sealed }: FinishedEnd): Promise<Slice> {
  const earlier = await earlierSlice(db, key);
  if (!earlier) return { from: 0, to, sealed };
  const appended = (await firstFree(db, { ...key, runKey: '' }, earlier.to, [])) === earlier.to;
  return { from: earlier.from, to: appended ? Math.max(earlier.to, to) : earlier.to, sealed };
}

/** Ranges that an open run means to read and can: it sees these bytes under its own path. Of any other nobody knows whether it will ever go on. */
async function leftToOthers(pool: Pool, ctx: FlowContext, key: PlanKey, found: Recognised): Promise<Range[]> {
  const left: Range[] = [];
  const here = pathOf(found.file.ref);
  for (const other of await otherPlans(pool, key)) {
    const what = `bytes ${other.from} to ${other.to} of ${found.file.ref.name}`;
    const sees = other.place === null || other.place.equals(here) || (await placeHolds(other.place, found.source));
    const can = sees && (other.begun || (await isBorder(found.bytes, other.to)));
    if (can) {
      left.push(other);
      await noteLeft(pool, ctx, what, other);
    } else
      await addNote(
        pool,
        ctx,
        `${what} were planned by run ${other.runKey}, which no longer found them under its path: this run loads what is missing.`,
      );
  }
  return left;
}

/** Whether a record ends there: a plan of which nothing was committed may be one for other bytes. */
async function isBorder(bytes: Bytes, at: number): Promise<boolean> {
  const two = Buffer.alloc(2);
  const count = await bytes.read(two, at - 1);
  return count === 1 || (count === 2 && two[0] === NEWLINE);
}
const NEWLINE = 10;

/** What is read, and whether some was left to another run, whose note says which. */
type Choice = Recognised & { readonly slice: Slice; readonly isLeft: boolean };

async function tell(pool: Pool, ctx: FlowContext, key: PlanKey, choice: Choice): Promise<void> {
  const { file, end, slice, isLeft } = choice;
  if (end.left > 0)
    await addNote(
      pool,
      ctx,
      `${file.ref.name} ends in a record that may still grow; its last ${end.left} bytes are left to a later run.`,
    );
  if (end.to + end.left === 0)
    await addNote(pool, ctx, `${file.ref.name} is empty, so nothing was read. If it is filled later, run again.`);
  const forced = ctx.generation > 1;
  const within = forced ? slice : { from: 0, to: slice.from < slice.to ? slice.from : end.to };
  const [first, ...others] = await coverers(pool, key, within);
  if (!first) return;
  const alike = others.filter(({ did }) => did === first.did).length;
  const by = `${first.did} before by run ${first.runKey}${alike === 0 ? '' : ` and ${alike} more`}`;
  if (forced)
    return void (await addNote(
      pool,
      ctx,
      `${file.ref.name}: of its bytes ${slice.from} to ${slice.to}, which are read again, ${first.bytes} were ${by}. A row that is the same stays as it is, under the data date it has, and counts as duplicate.`,
    ));
  const to = within.to;
  await addNote(
    pool,
    ctx,
    slice.from < slice.to
      ? `${file.ref.name}: its first ${to} bytes were ${by}; this run reads what follows.`
      : isLeft
        ? `${file.ref.name} was ${by} as far as it was ${first.did} then; nothing was read.`
        : `${file.ref.name} was ${by}, and nothing in it is new: nothing was read. To load it again for this run, start it again with --force.`,
  );
}
