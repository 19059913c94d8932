// What lives here: what the stages of log-ingest do.
// Invariant: a file is read through one descriptor and only over its planned slice; bad lines become letters, never errors.
// Apart from the workflow because this half touches the world.
import { log } from '@temporalio/activity';
import { stage } from 'mendflow/worker';
import { type Bins, flow, type FlowContext, type Segment, type Sink, table } from 'mendflow/flow';
import type { OnRewrite } from '../connectors/file-identity.ts';
import { openSource } from '../connectors/file-source.ts';
import { type FileRef, listFiles } from '../connectors/files.ts';
import { knownSources, plannedFile, planFile } from '../connectors/known-sources.ts';
import { type FormatName, formats } from '../flow/formats/index.ts';
import { openLogReader } from '../flow/log-reader.ts';
import { type FileList, type Grouped, type GroupOf, handOn, ingestEach, STAGES_MAX } from './log-ingest-group.ts';

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
  readonly format: FormatName;
  readonly onRewrite?: OnRewrite;
}

/** `stagesMax`: so many files have a stage each; of more, so many stages share them. */
export function logIngestActivities(sink: Sink, { stagesMax = STAGES_MAX }: { stagesMax?: number } = {}) {
  const activities = {
    /** The files of a folder, or the one file; of very many a reference to their list. */
    async list({ path }: { path: string }): Promise<FileRef[] | FileList> {
      const warn = (name: string): void => log.warn(`${name} is no regular file and was left out.`, { path });
      return await handOn(await listFiles(path, warn), sink, stagesMax);
    },

    /** Many files, one after the other; those that fail are handed back, for a stage of their own each. */
    async group({ files, ...how }: Omit<IngestOf, 'file'> & { files: GroupOf }): Promise<Segment<Grouped>> {
      return await ingestEach(files, sink, (file, ctx) => activities.ingest({ file, ...how }, ctx));
    },

    /** One file, from its first byte that no run has planned to the end of its last finished record. */
    async ingest({ file, format: name, onRewrite }: IngestOf, within?: FlowContext): Promise<Segment<Bins>> {
      const ctx = within ?? stage();
      if (ctx.acceptLoss) {
        const planned = await plannedFile(sink.pool, ctx, file);
        // Nothing was planned of it, so there is nothing to account for.
        return planned ? await flow({ from: planned, into: logEntries, sink }).run(ctx) : { done: true, out: nothing };
      }
      const format = formats[name];
      const opened = await openSource(file, {
        known: knownSources(sink.pool, ctx),
        format,
        dataDate: ctx.dataDate,
        ...(onRewrite === undefined ? {} : { onRewrite }),
      });
      const { identity } = opened;
      if (identity.kind === 'new' && identity.copyOf !== undefined)
        log.warn(`${file.name} holds the same bytes as ${identity.copyOf}, which was loaded before; both are kept.`, {
          run: ctx.runKey,
        });
      if (opened.left > 0)
        log.info(
          `${file.name} ends in a record that may still grow; its last ${opened.left} bytes are left to a later run.`,
          { run: ctx.runKey },
        );
      try {
        const { sourceId, slice } = await planFile(sink.pool, ctx, opened);
        const reader = openLogReader(opened.file, {
          format,
          sourceId,
          dataDate: ctx.dataDate,
          generation: ctx.generation,
        });
        try {
          // Connections are most of the work of a small file.
          const lanes = slice.to - slice.from <= ONE_LANE_BYTES_MAX ? { lanes: 1 } : {};
          return await flow({ from: { sourceId, slice, reader }, into: logEntries, sink, ...lanes }).run(ctx);
        } finally {
          await reader.close();
        }
      } finally {
        await opened.file.close();
      }
    },
  };
  return activities;
}
export type LogIngest = ReturnType<typeof logIngestActivities>;
