// What lives here: the program that the chaos tests kill, stop and cut off: one attempt at one file.
// Invariant: exit code 0 means that the run is closed and balanced; everything it does is what the package does.
// Apart because a test cannot kill -9 itself.
import { appendFileSync } from 'node:fs';
import { flow, createSealer, json, parse, recordReader, table, transform } from '../../src/flow/index.ts';
import { classify } from '../../src/model/classify.ts';
import { openPool } from '../../src/store/db.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { insertSource } from '../../src/store/sources.ts';
import { brokenLoaders } from './data-plane-broken.ts';
import { linesOf, RECORDS_PER_CHUNK } from './data-plane-source.ts';

/** What the test says, as JSON in the first argument. */
export interface Orders {
  readonly url: string;
  readonly file: string;
  readonly log: string;
  readonly failpoints?: string;
  readonly attemptAt?: number;
  readonly losses?: number;
  readonly lanes?: number;
  readonly recordsMax?: number;
  readonly segmentMs?: number;
  /** A broken loader instead of the real one. */
  readonly broken?: keyof typeof brokenLoaders;
  /** The broken loaders wait here until the file exists. */
  readonly waitFor?: string;
  /** The process dies when it parses the record with this ID. */
  readonly dieAtId?: number;
}

const orders = JSON.parse(process.argv[2]!) as Orders;
const say = (what: object): void =>
  appendFileSync(orders.log, `${JSON.stringify({ pid: process.pid, at: Date.now(), ...what })}\n`);

async function load(): Promise<void> {
  armFailpoints(orders.failpoints ?? '');
  const pool = openPool({ url: orders.url, applicationName: 'chaos' });
  const { id } = await insertSource(pool, { pipeline: 'chaos', name: Buffer.from(orders.file) });
  const opened = await linesOf(orders.file, id);
  try {
    if (orders.broken) return await brokenLoaders[orders.broken](orders, opened, pool);
    await loadForReal(id, opened, pool);
  } finally {
    await opened.close();
    await pool.end();
  }
}

async function loadForReal(
  sourceId: string,
  opened: Awaited<ReturnType<typeof linesOf>>,
  pool: ReturnType<typeof openPool>,
) {
  const stop = new AbortController();
  process.on('SIGTERM', () => stop.abort());
  const into = table('rows_checked', {
    line_no: 'bigint',
    id: 'bigint',
    note: 'text',
    data_date: 'date',
    generation: 'integer',
  });
  const dies = transform(({ id, note }: { id: number; note: string }) => {
    if (id === orders.dieAtId) process.kill(process.pid, 'SIGKILL');
    return { id, note };
  });
  const ctx = {
    pipeline: 'chaos',
    runKey: 'chaos/2026-11-21',
    stage: 'load[file]',
    dataDate: '2026-11-21',
    generation: 1,
    signal: stop.signal,
    onChunk: (progress: object) => say({ committed: progress }),
    attemptAt: orders.attemptAt ?? Date.now(),
    holder: `chaos:${process.pid}`,
    segmentMs: orders.segmentMs ?? 45_000,
    quarantineShareMax: 0.05,
    losses: orders.losses ?? 0,
  };
  const reader = recordReader(opened, { steps: [parse(json), dies], target: into, ctx });
  const watched: typeof reader = {
    ...reader,
    async *chunks(ranges, options) {
      for await (const chunk of reader.chunks(ranges, options)) {
        say({ taken: { from: chunk.from, to: chunk.to } });
        yield chunk;
      }
    },
  };
  const job = flow({
    from: { sourceId, slice: opened.slice, reader: watched },
    into,
    sink: { pool, seal: createSealer([{ id: 'test', key: Buffer.alloc(32, 1) }]) },
    lanes: orders.lanes ?? 2,
    recordsMax: orders.recordsMax ?? RECORDS_PER_CHUNK,
  });
  say({ ready: true });
  for (;;) {
    const segment = await job.run(ctx);
    if (segment.done) break;
    say({ segment: segment.at });
    if (stop.signal.aborted) return;
  }
  const closed = await closeRun(pool, ctx.runKey);
  if (!closed.balanced) throw new Error(closed.faults.join(' '));
  say({ closed: true });
}

load().then(
  () => process.exit(0),
  (error: unknown) => {
    const { code, text } = classify(error);
    say({ failed: code, text, stack: error instanceof Error ? error.stack : String(error) });
    process.exit(1);
  },
);
