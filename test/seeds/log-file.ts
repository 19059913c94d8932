// What lives here: document 003's log files, and loading them as log-ingest does, without a server around it.
// Invariant: reader, flow, ledger and database are the real ones; an attempt is one call.
// Apart because every item of the document begins with it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ingestFile } from '../../src/activities/log-ingest.ts';
import { listFiles } from '../../src/connectors/files.ts';
import type { Bins, FlowContext, Segment, Sink } from '../../src/flow/index.ts';
import { contextOf, testSink } from '../flow/memory.ts';

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
  const [file] = await listFiles(path);
  const speed = { lanes: 1, ...(recordsMax === undefined ? {} : { recordsMax }) };
  return await ingestFile(sink, ctx, { file: file!, format: 'plain-strict', sealed: true }, speed);
}
