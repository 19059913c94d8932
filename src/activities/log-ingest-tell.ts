// What lives here: what log-ingest says of a file or folder besides its figures: what of it is not read, records that were kept as they are, and the format that a file looks like.
// Invariant: figures and names only, no value of a record; what is said never decides what is loaded.
// Apart from the stage because loading does not depend on it.
import { resolve } from 'node:path';
import type { Bins, FlowContext } from 'mendflow/flow';
import { displayName } from '../connectors/files.ts';
import { layoutSentence, SAMPLE_BYTES } from '../flow/layout.ts';
import type { Format } from '../flow/parse/format.ts';
import { dayOfDataDate } from '../flow/parse/time.ts';
import type { ChunkReader, Range } from '../flow/types.ts';
import { CodedError } from '../model/failure.ts';
import type { Db } from '../store/db.ts';
import { addNote } from '../store/notes.ts';

/** What there is to tell of rows that were loaded all the same. */
const remarks: Readonly<Record<string, string>> = {
  severity_unmapped: 'have a severity that is no known word or number; it is kept as it is written',
  severity_none: 'state no severity and were loaded with "-"',
  message_none: 'have no field that is known to hold a message; all they have is in the attributes',
};

/** The reader, whose chunks are looked at as they pass: what was kept as it is, or found empty, is counted and told in the run. */
export function telling<R extends ChunkReader>(reader: R, name: string, db: Db, ctx: FlowContext): R {
  const chunks = reader.chunks.bind(reader);
  return Object.assign(reader, {
    async *chunks(...given: Parameters<ChunkReader['chunks']>) {
      const told: Record<string, number> = {};
      for await (const chunk of chunks(...given)) {
        for (const [note, count] of Object.entries(chunk.notes ?? {})) told[note] = (told[note] ?? 0) + count;
        yield chunk;
      }
      for (const [note, count] of Object.entries(told))
        await addNote(db, ctx, `${name}: ${count} records ${remarks[note]!}.`);
    },
  });
}

/** Where and how a part of a file is read, as far as it takes to say what it looks like. */
export interface Read {
  readonly reader: ChunkReader;
  readonly slice: Range;
  readonly format: Format;
  readonly formats: Readonly<Record<string, Format>>;
  readonly dataDate: string;
}

async function shapeOf({ reader, slice: { from, to }, format, formats, dataDate }: Read): Promise<string> {
  const start = await reader.raw(from, Math.min(SAMPLE_BYTES, to - from));
  return layoutSentence(format, formats, start, dayOfDataDate(dataDate) ?? 0);
}

/** Too many bad records are mostly the wrong format: then the question says which one the file looks like. */
export async function withShape(error: unknown, read: Read): Promise<unknown> {
  if (!(error instanceof CodedError) || error.failure.code !== 'quarantine_limit') return error;
  const shape = await shapeOf(read);
  // In front, because the sentence of the limit ends with a command.
  return shape === '' ? error : new CodedError('quarantine_limit', `${shape} ${error.message}`, { cause: error });
}

/** A small file never stops at the limit; it is the run that asks, when it closes. So what such a file looks like is told beside its figures. */
export async function tellShape(
  { loaded, duplicate, quarantined }: Bins,
  read: Read,
  told: (text: string) => Promise<unknown>,
): Promise<void> {
  if (quarantined === 0 || loaded + duplicate > 0) return;
  const shape = await shapeOf(read);
  if (shape !== '') await told(shape);
}

/** Names of what a folder holds besides files. */
export type LeftOut = Readonly<Record<'folder' | 'other', string[]>>;

/** What of a folder is not read, in sentences. Fails with `file_missing` where it holds folders and no file: whoever named it meant what is in these. */
export function leftOut(path: string, files: number, { folder, other }: LeftOut): string[] {
  const named = (names: readonly string[]): string => {
    const [first] = names.toSorted();
    return names.length === 1 ? first! : `${first} and ${names.length - 1} more`;
  };
  const folders = folder.length === 1 ? '1 folder' : `${folder.length} folders`;
  if (files === 0 && folder.length > 0)
    throw new CodedError(
      'file_missing',
      `${displayName(Buffer.from(resolve(path)))} holds no file but ${folders} (${named(folder)}), and folders in a folder are not entered. Nothing was loaded. Abort this run and start one for each folder that is meant, or put the files there and retry.`,
    );
  return [
    ...(files === 0 ? ['The folder holds no file, so nothing was read.'] : []),
    ...(folder.length > 0
      ? [
          `Not read: ${folders} in the folder (${named(folder)}), which are not entered. To read one, start a run with its path.`,
        ]
      : []),
    ...(other.length > 0
      ? [
          `Not read: ${other.length === 1 ? 'what is' : `${other.length} that are`} no file, such as a pipe (${named(other)}).`,
        ]
      : []),
  ];
}
