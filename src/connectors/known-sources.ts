// What lives here: the ledger's answers to a file's question "who am I?", and the source and slice that follow.
// Invariant: a run that planned a file before keeps that plan; bytes that another run owns are never planned again.
// Apart from identity and ledger because each is tested alone, and this is only how they meet.
import type { Pool } from 'pg';
import type { FlowContext } from '../flow/context.ts';
import { type Db } from '../store/db.ts';
import {
  earlierSlice,
  edgeChunks,
  findSlice,
  findSources,
  firstChunks,
  hintSource,
  insertSource,
  plannedRanges,
  type Slice,
  type Source,
} from '../store/sources.ts';
import type { OpenSource as Planned } from '../flow/flow.ts';
import type { KnownSource, KnownSources } from './file-identity.ts';
import type { OpenSource } from './file-source.ts';
import { type FileRef, sourceNameOf } from './files.ts';

export function knownSources(pool: Pool, ctx: Pick<FlowContext, 'pipeline' | 'stage'>): KnownSources {
  const known = async (source: Pick<Source, 'id' | 'name' | 'version' | 'hint'>): Promise<KnownSource> => {
    const proofs = await edgeChunks(pool, source.id, ctx.stage);
    const planned = await plannedRanges(pool, source.id, ctx.stage);
    return {
      id: source.id,
      name: source.name,
      version: source.version,
      hint: source.hint,
      proofs,
      plannedTo: planned.at(-1)?.to ?? 0,
    };
  };
  return {
    byName: async (name) => {
      const [newest] = await findSources(pool, ctx.pipeline, name);
      return newest && (await known(newest));
    },
    byStart: async (size, holdsFirst) => {
      const same: string[] = [];
      for (const first of await firstChunks(pool, ctx.pipeline, ctx.stage, size))
        if (await holdsFirst(first)) same.push(first.sourceId);
      return await Promise.all((await sourcesById(pool, same)).map(known));
    },
  };
}

async function sourcesById(
  db: Db,
  ids: readonly string[],
): Promise<Pick<Source, 'id' | 'name' | 'version' | 'hint'>[]> {
  if (ids.length === 0) return [];
  const { rows } = await db.query<Pick<Source, 'id' | 'name' | 'version' | 'hint'>>(
    'select id, name, version, hint from mendflow.source where id = any($1::bigint[])',
    [ids],
  );
  return rows;
}

/** The row of the source, and what this run is to read of it. */
export async function planFile(
  pool: Pool,
  ctx: FlowContext,
  opened: OpenSource,
): Promise<{ sourceId: string; slice: Slice }> {
  const { identity, file, from, to, sealed } = opened;
  const { hint } = file;
  if (identity.kind === 'new') {
    const { id } = await insertSource(pool, {
      pipeline: ctx.pipeline,
      name: file.sourceName,
      version: identity.version,
      hint,
    });
    return { sourceId: id, slice: { from, to, sealed } };
  }
  const { sourceId } = identity;
  await hintSource(pool, sourceId, hint);
  if (ctx.generation === 1) return { sourceId, slice: { from, to, sealed } };
  const earlier = await earlierSlice(pool, {
    runKey: ctx.runKey,
    generation: ctx.generation,
    stage: ctx.stage,
    sourceId,
  });
  if (!earlier) return { sourceId, slice: { from, to, sealed } };
  // What was appended since belongs to this run only if no other run planned it in between.
  return {
    sourceId,
    slice: identity.from <= earlier.to ? { from: earlier.from, to: Math.max(earlier.to, to), sealed } : earlier,
  };
}

/** Nothing is read of what is given up. */
const unread: Planned['reader'] = {
  async *chunks() {},
  release: () => undefined,
  raw: async () => new Uint8Array(0),
  close: async () => undefined,
};

/** What this run has planned of a file, for giving up its rest: that has to work above all where the file is gone, cut short or written anew. */
export async function plannedFile(pool: Pool, ctx: FlowContext, ref: FileRef): Promise<Planned | undefined> {
  for (const { id: sourceId } of await findSources(pool, ctx.pipeline, sourceNameOf(ref))) {
    const { runKey, generation, stage } = ctx;
    const slice = await findSlice(pool, { runKey, generation, stage, sourceId });
    if (slice) return { sourceId, slice, reader: unread };
  }
  return undefined;
}
