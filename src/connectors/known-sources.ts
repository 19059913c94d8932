// What lives here: the ledger's answers to a file's question "who am I?".
// Invariant: what is said about a source comes from committed chunks; a plan proves nothing.
// Apart from identity and ledger because each is tested alone, and this is only how they meet.
import type { Pool } from 'pg';
import {
  findByHead,
  findByPlace,
  findSources,
  proofsOfAll,
  type Source,
  sourceById,
  type SourceOwner,
} from '../store/sources.ts';
import type { KnownSource, KnownSources } from './file-claim.ts';

/** The sources of one pipeline, for one target, as one of its stages has covered them. */
export interface SourcesOf extends SourceOwner {
  readonly stage: string;
}

const known = async (pool: Pool, { stage }: SourcesOf, sources: readonly Source[]): Promise<KnownSource[]> => {
  const proofs = await proofsOfAll(
    pool,
    sources.map(({ id }) => id),
    stage,
  );
  return sources.map((source) => ({ ...source, proofs: proofs.get(source.id) ?? [] }));
};

export const knownSources = (pool: Pool, of: SourcesOf): KnownSources => ({
  byName: async (name) => (await known(pool, of, (await findSources(pool, of, name)).slice(0, 1)))[0],
  byHead: async (heads, long) => await known(pool, of, await findByHead(pool, of, heads, long)),
  byPlace: async (hint) => await known(pool, of, await findByPlace(pool, of, hint)),
});

/** One source by its id. */
export async function knownSource(pool: Pool, of: SourcesOf, id: string): Promise<KnownSource> {
  return (await known(pool, of, [await sourceById(pool, id)]))[0]!;
}
