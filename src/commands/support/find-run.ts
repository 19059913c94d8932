// What lives here: which run a person means.
// Invariant: a whole key always wins; a part is taken only if one run fits, and otherwise all that fit are named.
// Apart because every command that takes a run takes it the same way.
import type { Pool } from 'pg';
import { runOf } from '../../model/ids.ts';
import { findRun, type RunRow, runsLike } from '../../store/reads.ts';
import type { Accepted } from './accepted.ts';
import { CommandError } from './exit-codes.ts';
import type { Session } from './session.ts';

const SHOWN_MAX = 8;

/** The run of this key, or the only one that begins or ends like it. Throws `notFound`, or `usage` naming several. */
export async function theRun(session: Session, pool: Pool, written: string): Promise<RunRow> {
  const found = await runOrAccepted(session, pool, written);
  if (!('accepted' in found)) return found;
  const { notBegun } = await import('./accepted.ts');
  throw notBegun(found.accepted, session);
}

/** The same, or a run that the store does not know yet, because no worker has begun it. */
export async function runOrAccepted(
  session: Session,
  pool: Pool,
  written: string,
): Promise<RunRow | { readonly accepted: Accepted }> {
  const key = withoutPrefix(session.config.prefix, written);
  const exact = await findRun(pool, key);
  if (exact) return exact;
  const like = await runsLike(pool, key, SHOWN_MAX + 1);
  const only = like.length === 1 ? await findRun(pool, like[0]!) : undefined;
  if (only) return only;
  if (like.length <= 1) {
    // Temporal's client costs more than all else here, and is asked only where the store knows nothing.
    const { findAccepted } = await import('./accepted.ts');
    const { accepted, asked } = await findAccepted(session, key);
    return accepted === undefined ? noSuchRun(written, asked) : { accepted };
  }
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

function noSuchRun(written: string, asked: boolean): never {
  throw new CommandError(
    'notFound',
    asked
      ? `There is no run "${written}": neither the control store nor Temporal has it open. Nothing was done. See \`mendflow runs\`.`
      : `The control store has no run "${written}", and Temporal, which knows those that no worker has begun, does not answer. Nothing was done. See \`mendflow runs\`; \`mendflow doctor\` says what is wrong.`,
  );
}
