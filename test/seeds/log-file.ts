// What lives here: document 003's log files, and loading them as log-ingest does, without a server around it.
// Invariant: reader, flow, ledger and database are the real ones; an attempt is one call.
// Apart because every item of the document begins with it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSource } from '../../src/connectors/file-source.ts';
import { listFiles } from '../../src/connectors/files.ts';
import { knownSources, planFile } from '../../src/connectors/known-sources.ts';
import { type Bins, flow, type FlowContext, type Segment, type Sink, table } from '../../src/flow/index.ts';
import { plain } from '../../src/flow/formats/plain.ts';
import { openLogReader } from '../../src/flow/log-reader.ts';
import { contextOf, testSink } from '../flow/memory.ts';

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

/** A line as document 003 has it: timestamp, severity, [module], message. */
export const logLine = (index: number): string =>
  `2026-11-20T08:00:00.000Z ${(['INFO', 'WARN', 'ERROR'] as const)[index % 3]} [module-${index % 7}] message ${index}`;

export interface LogScene {
  readonly sink: Awaited<ReturnType<typeof testSink>>;
  /** Writes a file below the scene's folder; returns its path. */
  write(name: string, lines: readonly string[]): string;
  /** One attempt at a file: what it says, and what it committed, chunk by chunk. */
  attempt(
    path: string,
    more?: Partial<FlowContext> & { recordsMax?: number },
  ): Promise<{ end: Segment<Bins>; chunks: { from: number; records: number }[] }>;
  rows<T>(sql: string, values?: unknown[]): Promise<T[]>;
  close(): Promise<void>;
}

export async function openScene(): Promise<LogScene> {
  const sink = await testSink();
  const folder = mkdtempSync(join(tmpdir(), 'mendflow-seeds-'));
  return {
    sink,
    write(name, lines) {
      const path = join(folder, name);
      writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
      return path;
    },
    async attempt(path, { recordsMax, ...more } = {}) {
      const chunks: { from: number; records: number }[] = [];
      const ctx = contextOf({
        pipeline: 'log-ingest',
        runKey: `log-ingest/2026-11-20/${path.split('/').pop()!}`,
        stage: 'ingest',
        dataDate: '2026-11-20',
        quarantineShareMax: 0.05,
        ...more,
        onChunk: (progress) => {
          const { from, loaded, duplicate, quarantined, skipped } = progress;
          chunks.push({ from, records: loaded + duplicate + quarantined + skipped });
          more.onChunk?.(progress);
        },
      });
      return { end: await load(sink, path, ctx, recordsMax), chunks };
    },
    rows: async <T>(sql: string, values: unknown[] = []) => (await sink.pool.query(sql, values)).rows as T[],
    async close() {
      await sink.end();
      rmSync(folder, { recursive: true });
    },
  };
}

async function load(sink: Sink, path: string, ctx: FlowContext, recordsMax?: number): Promise<Segment<Bins>> {
  const [ref] = await listFiles(path);
  const opened = await openSource(ref!, {
    known: knownSources(sink.pool, ctx),
    format: plain,
    dataDate: ctx.dataDate,
    sealed: true,
  });
  try {
    const { sourceId, slice } = await planFile(sink.pool, ctx, opened);
    const { dataDate, generation } = ctx;
    const reader = openLogReader(opened.file, { format: plain, sourceId, dataDate, generation });
    const job = flow({
      from: { sourceId, slice, reader },
      into: logEntries,
      sink,
      lanes: 1,
      ...(recordsMax === undefined ? {} : { recordsMax }),
    });
    try {
      return await job.run(ctx);
    } finally {
      await reader.close();
    }
  } finally {
    await opened.file.close();
  }
}
