// What lives here: how fast lines become tuples, without a database: one thread, bytes from the page cache.
// Invariant: it measures the cutter that the pipeline runs, in parts: all of it, and what the two hashes cost.
// Apart because the benchmark proper measures the whole way into Postgres, where a slower parser hides.
import { createHash } from 'node:crypto';
import { mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formats } from '../src/flow/formats/index.ts';
import { cutRange, filled, giveBack, newCutter, nextChunk, room } from '../src/flow/read/cutter.ts';
import { generate, type GenerateOptions } from './generate.ts';

/** Lines a second for reading, parsing, encoding and hashing a file, and the bytes of its tuples. */
function parse(path: string, format: GenerateOptions['format'], bytes: number): { ms: number; tupleBytes: number } {
  const began = performance.now();
  const fd = openSync(path, 'r');
  const cutter = newCutter({
    format: formats[format],
    constants: { sourceId: '1', dataDay: 9497, generation: 1 },
    recordsMax: 20_000,
  });
  cutRange(cutter, 0, bytes, 1);
  let tupleBytes = 0;
  for (let position = 0; ;) {
    const next = nextChunk(cutter);
    if (next === 'end') return { ms: performance.now() - began, tupleBytes };
    if (next === 'more') {
      const into = room(cutter);
      const count = readSync(fd, into, 0, into.length, position);
      position += count;
      filled(cutter, count);
    } else {
      tupleBytes += next.tuples.length;
      giveBack(cutter, next.tuples.buffer as ArrayBuffer);
    }
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

function main(lines: number, rounds: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'mendflow-parse-'));
  try {
    for (const format of ['plain', 'log4j', 'apache'] as const) {
      const raw = join(folder, format);
      const made = generate({ format, lines, raw, clean: join(folder, 'clean') });
      const runs = Array.from({ length: rounds + 1 }, () => parse(raw, format, made.rawBytes)).slice(1);
      const ms = median(runs.map((run) => run.ms));
      const tuples = Buffer.alloc(runs[0]!.tupleBytes);
      const began = performance.now();
      createHash('sha256').update(readFileSync(raw)).digest();
      createHash('sha256').update(tuples).digest();
      const hashMs = performance.now() - began;
      const rate = (over: number): string => `${((made.lines / over) * 1e-3).toFixed(2)} M lines/s`;
      console.log(
        `${format.padEnd(7)} ${rate(ms)} with both hashes, ${rate(ms - hashMs)} parse and encode alone; ${Math.round(made.rawBytes / made.lines)} B a line, ${Math.round(runs[0]!.tupleBytes / made.rows)} B a tuple, median of ${rounds}`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main(Number(process.argv[2] ?? 500_000), Number(process.argv[3] ?? 7));
