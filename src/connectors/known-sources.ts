// What lives here: the ledger's answers to a file's question "who am I?".
// Invariant: what is said about a source comes from committed chunks; a plan proves nothing.
// Apart from identity and ledger because each is tested alone, and this is only how they meet.
import type { Pool } from 'pg';
import {
  findByHead,
  findByPlace,
  findSources,
  proofsOf,
  type Source,
  sourceById,
  type SourceOwner,
} from '../store/sources.ts';
import type { KnownSource, KnownSources } from './file-claim.ts';

/** The sources of one pipeline, for one target, as one of its stages has covered them. */
export interface SourcesOf extends SourceOwner {
  readonly stage: string;
}

const known = async (pool: Pool, { stage }: SourcesOf, source: Source): Promise<KnownSource> => ({
  ...source,
  proofs: await proofsOf(pool, source.id, stage),
});

export const knownSources = (pool: Pool, of: SourcesOf): KnownSources => ({
  byName: async (name) => {
    const [newest] = await findSources(pool, of, name);
    return newest && (await known(pool, of, newest));
  },
  byHead: async (heads) =>
    await Promise.all((await findByHead(pool, of, heads)).map((source) => known(pool, of, source))),
  byPlace: async (hint) =>
    await Promise.all((await findByPlace(pool, of, hint)).map((source) => known(pool, of, source))),
});

/** One source by its id. */
export async function knownSource(pool: Pool, of: SourcesOf, id: string): Promise<KnownSource> {
  return await known(pool, of, await sourceById(pool, id));
}
