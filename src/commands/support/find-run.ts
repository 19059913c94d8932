// What lives here: which run a person means.
// Invariant: a whole key always wins; a part is taken only if one run fits, and otherwise all that fit are named.
// Apart because every command that takes a run takes it the same way.
import { runOf } from '../../model/ids.ts';
import type { Pool } from 'pg';
import { findRun, type RunRow, runsLike } from '../../store/reads.ts';
import { CommandError } from './exit-codes.ts';

const SHOWN_MAX = 8;

/** The run of this key, or the only one that begins or ends like it. Throws `notFound`, or `usage` naming several. */
export async function theRun(pool: Pool, prefix: string, written: string): Promise<RunRow> {
  const key = withoutPrefix(prefix, written);
  const exact = await findRun(pool, key);
  if (exact) return exact;
  const like = await runsLike(pool, key, SHOWN_MAX + 1);
  if (like.length === 1) return (await findRun(pool, like[0]!)) ?? noSuchRun(written);
  if (like.length === 0) return noSuchRun(written);
  const more = like.length > SHOWN_MAX ? '\n  and more' : '';
  throw new CommandError(
    'usage',
    `"${written}" fits several runs; nothing was done. Write one of them:\n${like
      .slice(0, SHOWN_MAX)
      .map((one) => `  ${one}`)
      .join('\n')}${more}`,
  );
}

/** Temporal's Web UI shows workflow IDs; pasted here, they mean the run. */
export const withoutPrefix = runOf;

function noSuchRun(written: string): never {
  throw new CommandError(
    'notFound',
    `The control store has no run "${written}". Nothing was done. See \`mendflow runs\`; if it was started a moment ago, no worker has opened it yet, and \`mendflow doctor\` says why.`,
  );
}
