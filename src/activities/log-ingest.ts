// What lives here: what the stages of log-ingest do.
// Invariant: a file is read through one descriptor and only over its planned slice; bad lines become letters, never errors.
// Apart from the workflow because this half touches the world.
import { resolve } from 'node:path';
import { stage } from 'mendflow/worker';
import { type Bins, flow, type FlowContext, type FlowOptions, type Segment, type Sink, table } from 'mendflow/flow';
import type { OnRewrite } from '../connectors/file-identity.ts';
import { filesPlanned, filesToRead, type FileToRead } from '../connectors/file-source.ts';
import { type FileRef, listFiles } from '../connectors/files.ts';
import { keepingConnections } from '../flow/connections.ts';
import { formats as ofThePackage } from '../flow/formats/index.ts';
import { openLogReader } from '../flow/log-reader.ts';
import { leftOut, type LeftOut, telling, tellShape, withShape } from './log-ingest-tell.ts';
import { type FileList, type Grouped, type GroupOf, handOn, ingestEach, STAGES_MAX } from './log-ingest-group.ts';
import type { Format } from '../flow/parse/format.ts';
import type { ChunkReader } from '../flow/types.ts';
import { CodedError } from '../model/failure.ts';
import { addNote } from '../store/notes.ts';

/** Columns in the order in which the log reader writes them. */
const logEntries = table('log_entries', {
  line_no: 'bigint',
  ts: 'timestamptz',
  severity: 'text',
  module: 'text',
  message: 'text',
  attributes: 'jsonb',
  data_date: 'date',
  generation: 'integer',
});

const nothing: Bins = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };

const ONE_LANE_BYTES_MAX = 1024 * 1024;

export interface IngestOf {
  readonly file: FileRef;
  /** Name of one of the formats that the project has. */
  readonly format: string;
  readonly onRewrite?: OnRewrite | undefined;
  /** File or folder that the run lists. Absent in runs that were begun by an earlier release. */
  readonly path?: string | undefined;
  /** Said by who calls: nothing will be added to the file. */
  readonly sealed?: boolean;
}

type Formats = Readonly<Record<string, Format>>;

/** `stagesMax`: so many files have a stage each; of more, so many stages share them. `formats`: all that can be chosen. */
export function logIngestActivities(
  sink: Sink,
  { stagesMax = STAGES_MAX, formats = ofThePackage }: { stagesMax?: number; formats?: Formats } = {},
) {
  return {
    /** The files of a folder, or the one file; of very many a reference to their list. */
    async list({ path }: { path: string }): Promise<FileRef[] | FileList> {
      const left: LeftOut = { folder: [], other: [] };
      const files = await listFiles(path, (name, kind) => left[kind].push(name));
      for (const said of leftOut(path, files.length, left)) await addNote(sink.pool, stage(), said);
      return await handOn(files, sink, stagesMax);
    },

    /** Many files, one after the other; those that fail are handed back, for a stage of their own each. */
    async group({ files, ...how }: Omit<IngestOf, 'file'> & { files: GroupOf }): Promise<Segment<Grouped>> {
      const kept = keepingConnections(sink);
      try {
        return await ingestEach(files, sink, (file, ctx) => ingestFile(kept.sink, ctx, { file, ...how }, { formats }));
      } finally {
        await kept.close();
      }
    },

    ingest: (input: IngestOf): Promise<Segment<Bins>> => ingestFile(sink, stage(), input, { formats }),
  };
}

/**
 * One file, from its first byte that no run has committed to the end of its last finished record; before it, what this run has begun
 * under that name, and what follows of the log that had the name before. `path` is what was listed: its other files are stages of their own.
 */
export async function ingestFile(
  sink: Sink,
  ctx: FlowContext,
  input: IngestOf,
  { formats = ofThePackage, ...speed }: Pick<FlowOptions, 'lanes' | 'recordsMax'> & { formats?: Formats } = {},
): Promise<Segment<Bins>> {
  const format = formatOf(formats, input.format);
  let sum = nothing;
  for await (const part of partsOf(sink, ctx, input, format)) {
    if (part.done || part.slice.from >= part.slice.to) {
      sum = added(sum, part.done ?? nothing);
      await part.close();
      continue;
    }
    const opened = readerOf(part, format, ctx);
    const reader = part.file ? telling(opened, input.file.name, sink.pool, ctx) : opened;
    const read = { reader, slice: part.slice, format, formats, dataDate: ctx.dataDate };
    try {
      // Connections are most of the work of a small file.
      const lanes = part.slice.to - part.slice.from <= ONE_LANE_BYTES_MAX ? { lanes: 1 } : {};
      const from = { sourceId: part.sourceId, slice: part.slice, reader, doubted: part.doubted };
      const end = await flow({ from, into: logEntries, sink, ...lanes, ...speed }).run(ctx);
      if (!end.done) return end;
      sum = added(sum, end.out);
      await tellShape(end.out, read, (shape) => addNote(sink.pool, ctx, `${input.file.name}: ${shape}`));
    } catch (error) {
      throw await withShape(error, read);
    } finally {
      await reader.close();
    }
  }
  return { done: true, out: sum };
}

/** A worker whose project lacks the format of a run that was started with it asks, instead of reading it as something else. */
function formatOf(formats: Formats, name: string): Format {
  if (Object.hasOwn(formats, name)) return formats[name]!;
  throw new CodedError(
    'config_invalid',
    `This worker knows no line format "${name}"; it knows ${Object.keys(formats).join(', ')}. Nothing was read. Declare it in mendflow.config.ts under \`formats\`, start the workers again and retry.`,
  );
}

async function* partsOf(
  sink: Sink,
  ctx: FlowContext,
  { file, onRewrite, path, sealed }: IngestOf,
  format: Format,
): AsyncGenerator<FileToRead> {
  // Where nothing was planned, there is nothing to account for.
  if (ctx.acceptLoss) return yield* await filesPlanned(sink.pool, ctx);
  yield* filesToRead(sink.pool, ctx, file, {
    format,
    target: logEntries.name,
    ...(onRewrite === undefined ? {} : { onRewrite }),
    ...(path === undefined ? {} : { listed: resolve(path) }),
    ...(sealed === undefined ? {} : { sealed }),
  });
}

function readerOf(part: FileToRead, format: Format, { dataDate, generation }: FlowContext): ChunkReader {
  if (!part.file) return unread;
  const about = { format, sourceId: part.sourceId, dataDate, generation };
  const reader = openLogReader({ ...part.file, close: () => part.close() }, about);
  return Object.assign(reader, { holds: part.holds });
}

/** Nothing is read of what is committed or given up. */
const unread: ChunkReader = {
  async *chunks() {},
  release: () => undefined,
  raw: () => Promise.resolve(new Uint8Array(0)),
  close: () => Promise.resolve(),
};

const added = (a: Bins, b: Bins): Bins => ({
  read: a.read + b.read,
  loaded: a.loaded + b.loaded,
  duplicate: a.duplicate + b.duplicate,
  quarantined: a.quarantined + b.quarantined,
  skipped: a.skipped + b.skipped,
});

export type LogIngest = ReturnType<typeof logIngestActivities>;
