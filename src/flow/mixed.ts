// What lives here: noticing that a source was written anew while it was read, and taking back what was loaded of it.
// Invariant: of a source that changed under the reader nothing stays: neither rows of the old contents beside rows of the new, nor a record cut in two.
// Apart because readers only say whether their bytes still are what they were, and chunks only ever add.
import { inDigits } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import { proofsOf } from '../store/sources.ts';
import { takeBack } from '../store/ledger.ts';
import type { Work } from './chunk.ts';
import type { Bins, Segment } from './context.ts';
import { fenced, type Session } from './session.ts';

/** Works a segment, and compares at its end; also where it failed because the source lost its end, which may be a file written anew. */
export async function unmixed(
  work: Work,
  session: Session,
  doubted: boolean,
  body: () => Promise<Segment<Bins>>,
): Promise<Segment<Bins>> {
  if (doubted) await refuseMix(work, session, true);
  let end: Segment<Bins>;
  try {
    end = await body();
  } catch (error) {
    if (error instanceof CodedError && error.failure.code === 'source_shrunk') await refuseMix(work, session, true);
    throw error;
  }
  await refuseMix(work, session, end.done);
  return end;
}

/**
 * Compares what this generation committed with what the source holds now. `whole`: closely, where the source was written to.
 * Fails with `source_rewritten`, after everything this generation committed of it was taken back, rows included.
 */
async function refuseMix(work: Work, session: Session, whole: boolean): Promise<void> {
  const { key, reader } = work;
  if (!reader.holds) return;
  const proofs = await proofsOf(session.control, key.sourceId, key.stage, key);
  if (proofs.length === 0 || (await reader.holds(proofs, whole))) return;
  const what = `The file was written anew while it was read (source ${key.sourceId}): not all that was read of it before is in it now.`;
  if (!work.target)
    throw new CodedError(
      'source_rewritten',
      `${what} What was read is kept in a dataset that is not sealed, so no later stage reads it. Put the old file back and retry; or abort, and start the run again.`,
    );
  const { target } = work;
  const records = await fenced(session, (client) => takeBack(client, key, target));
  const rows = target.byKey
    ? 'in the ledger; rows by a key of their own are put right when it is read again'
    : 'and their rows are deleted';
  throw new CodedError(
    'source_rewritten',
    `${what} So that no mix of both stays, the ${inDigits(records)} records that this run had read of it were taken back, ${rows}. When the file is written to its end, retry: it is then read as it is.`,
  );
}
