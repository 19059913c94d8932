// What lives here: a source in memory, a sink and a context, for tests of the flow.
// Invariant: the database is a real one; only the file is not.
// Apart because every test of the flow needs the same three.
import { randomUUID } from 'node:crypto';
import {
  createSealer,
  type FlowContext,
  type OpenedRecords,
  type RecordSource,
  type Sink,
} from '../../src/flow/index.ts';
import { openPool } from '../../src/store/db.ts';
import { insertSource } from '../../src/store/sources.ts';
import { migratedDatabase } from '../support/database.ts';

export const sealer = createSealer([{ id: 'test', key: Buffer.alloc(32, 9) }]);

/** A migrated database of its own, as a sink. */
export async function testSink(): Promise<Sink & { url: string; end(): Promise<void> }> {
  const { url, drop } = await migratedDatabase();
  const pool = openPool({ url, applicationName: 'test' });
  return { url, pool, seal: sealer, end: () => pool.end().then(drop) };
}

export function contextOf(more: Partial<FlowContext> = {}): FlowContext {
  return {
    pipeline: 'test',
    runKey: 'test/2026-11-21',
    stage: 'load',
    dataDate: '2026-11-21',
    generation: 1,
    signal: new AbortController().signal,
    onChunk: () => undefined,
    attemptAt: Date.now(),
    holder: 'test',
    segmentMs: 45_000,
    quarantineShareMax: 1,
    losses: 0,
    ...more,
  };
}

/** Lines of a text or bytes. The value of a record is its text, without the newline. */
export function memorySource(content: string | Buffer, name: string = randomUUID()): RecordSource {
  const bytes = Buffer.from(content);
  return {
    async openRecords(ctx, sink): Promise<OpenedRecords> {
      const { id } = await insertSource(sink.pool, { pipeline: ctx.pipeline, name: Buffer.from(name) });
      return {
        sourceId: id,
        slice: { from: 0, to: bytes.byteLength, sealed: true },
        async *records({ from, to }) {
          let line = bytes.subarray(0, from).filter((byte) => byte === 10).length + 1;
          for (let at = from; at < to; line++) {
            const newline = bytes.indexOf(10, at);
            const end = newline < 0 ? to : newline + 1;
            const raw = bytes.subarray(at, end);
            yield {
              offset: at,
              length: end - at,
              line,
              value: bytes.toString('utf8', at, newline < 0 ? to : newline),
              raw,
            };
            at = end;
          }
        },
        raw: async (offset, length) => bytes.subarray(offset, offset + length),
        close: async () => undefined,
      };
    },
  };
}

/** `count` lines from a function of the index. */
export const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `${line(index)}\n`).join('');
