// What lives here: a log file made ready for an attempt: opened once, recognised, and with the range that a run may plan.
// Invariant: opening decides nothing in the ledger; the caller writes source and slice, so that both stand in its own transactions.
// Apart because a flow needs these three answers together, and tests need each alone.
import { type Bytes, bytesOf } from '../flow/parse/bytes.ts';
import { type EndOptions, finishedEnd } from './file-end.ts';
import { identify, type Identity, type KnownSources, type OnRewrite } from './file-identity.ts';
import { type FileRef, openFile, type OpenFile } from './files.ts';

export interface OpenSourceOptions extends EndOptions {
  readonly known: KnownSources;
  /** What to do about a known name with other bytes. Default `ask`: throws `source_rewritten`. */
  readonly onRewrite?: OnRewrite;
}

export interface OpenSource {
  /** Hand it to `openLogReader`, which closes it; else close it. */
  readonly file: OpenFile;
  readonly bytes: Bytes;
  readonly identity: Identity;
  /** What is new in the file and finished: the slice to plan. Empty (`from` = `to`) if nothing is. */
  readonly from: number;
  readonly to: number;
  readonly sealed: boolean;
  /** Bytes behind `to` that are left to a later run, because their record may still grow. */
  readonly left: number;
}

/**
 * Opens a listed file, says whether it was loaded before, and how far it may be read now.
 * Throws `file_vanished`, `file_forbidden`, `file_not_regular`, `source_shrunk`, `source_rewritten`; the file is closed then.
 */
export async function openSource(ref: FileRef, options: OpenSourceOptions): Promise<OpenSource> {
  const file = await openFile(ref);
  try {
    const bytes = bytesOf(file.fd, file.codec);
    const end = await finishedEnd(file, bytes, options);
    const identity = await identify({
      ref,
      sourceName: file.sourceName,
      hint: file.hint,
      bytes,
      size: end.to + end.left,
      known: options.known,
      ...(options.onRewrite === undefined ? {} : { onRewrite: options.onRewrite }),
    });
    // A run that sealed the file early may have planned more than is finished by today's measure; nothing is planned twice.
    const from = Math.min(identity.from, end.to + end.left);
    return { file, bytes, identity, from, to: Math.max(from, end.to), sealed: end.sealed, left: end.left };
  } catch (error) {
    await file.close();
    throw error;
  }
}
