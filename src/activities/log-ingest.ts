// What lives here: what the stages of log-ingest do.
// Invariant: a file is read through one descriptor and only over its planned slice; bad lines become letters, never errors.
// Apart from the workflow because this half touches the world.
import { log } from '@temporalio/activity';
import { stage } from 'mendflow/worker';
import { type Bins, flow, type Segment, type Sink, table } from 'mendflow/flow';
import type { OnRewrite } from '../connectors/file-identity.ts';
import { openSource } from '../connectors/file-source.ts';
import { type FileRef, listFiles } from '../connectors/files.ts';
import { knownSources, plannedFile, planFile } from '../connectors/known-sources.ts';
import { type FormatName, formats } from '../flow/formats/index.ts';
import { openLogReader } from '../flow/log-reader.ts';

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

export function logIngestActivities(sink: Sink) {
  return {
    /** The files of a folder, or the one file. */
    async list({ path }: { path: string }): Promise<FileRef[]> {
      return await listFiles(path, (name) => log.warn(`${name} is no regular file and was left out.`, { path }));
    },

    /** One file, from its first byte that no run has planned to the end of its last finished record. */
    async ingest({
      file,
      format: name,
      onRewrite,
    }: {
      file: FileRef;
      format: FormatName;
      onRewrite?: OnRewrite;
    }): Promise<Segment<Bins>> {
      const ctx = stage();
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
          return await flow({ from: { sourceId, slice, reader }, into: logEntries, sink }).run(ctx);
        } finally {
          await reader.close();
        }
      } finally {
        await opened.file.close();
      }
    },
  };
}
export type LogIngest = ReturnType<typeof logIngestActivities>;
