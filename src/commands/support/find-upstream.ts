// What lives here: which upstream a person means.
// Invariant: a whole key always wins; a name alone is taken only if one upstream has it, and otherwise all that have it are named.
// Apart because every command and filter that takes an upstream takes it the same way.
import type { Upstreams } from '../../model/upstream.ts';
import { CommandError } from './exit-codes.ts';
import type { Session } from './session.ts';

/** Those of this folder's project; none where it cannot be read, which other commands say. */
export const declaredUpstreams = async (session: Session): Promise<Upstreams> =>
  (await session.declared().catch(() => undefined))?.upstreams ?? {};

/** The key of this name among those that are known. Throws `notFound` naming them, or `usage` naming several. */
export function upstreamKeyOf(written: string, known: Iterable<string>): string {
  const keys = [...new Set(known)].toSorted();
  const found = keys.includes(written) ? [written] : keys.filter((key) => key.slice(key.indexOf(':') + 1) === written);
  if (found.length === 1) return found[0]!;
  throw new CommandError(
    found.length > 1 ? 'usage' : 'notFound',
    found.length > 1
      ? `"${written}" fits several upstreams: ${found.join(', ')}. Nothing was changed. Write one of them.`
      : `There is no upstream "${written}"${keys.length === 0 ? '' : `; there is ${keys.join(', ')}`}. Nothing was changed. See \`mendflow upstreams\`.`,
  );
}
