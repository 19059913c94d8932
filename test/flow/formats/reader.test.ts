// What lives here: the reader over real files: thread and process alike, ranges, backpressure, abort, files that end too early.
// Invariant: where chunks are made cannot be told from the chunks.
// Apart because this is the only test of formats that needs files and threads.
import { appendFile, mkdtemp, open, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generate, type Generated } from '../../../bench/generate.ts';
import { formats } from '../../../src/flow/formats/index.ts';
import { LOG_COLUMNS, type LogReader, type LogReaderOptions, openLogReader } from '../../../src/flow/log-reader.ts';
import type { Codec } from '../../../src/flow/parse/bytes.ts';
import type { Chunk, Range } from '../../../src/flow/types.ts';
import { rowsOf } from './read.ts';

let folder: string;
const made: Partial<Record<'plain' | 'log4j' | 'apache', Generated>> = {};
const fileOf = (name: string): string => join(folder, `${name}.log`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendflow-reader-'));
  for (const format of ['plain', 'log4j', 'apache'] as const)
    made[format] = generate({
      format,
      lines: 45_000,
      raw: fileOf(format),
      clean: join(folder, `${format}.copy`),
      poisonShare: 0.01,
    });
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

async function reader(
  path: string,
  options: Partial<LogReaderOptions> = {},
  codec: Codec = 'none',
): Promise<LogReader> {
  const handle = await open(path);
  return openLogReader(
    { fd: handle.fd, codec, close: () => handle.close() },
    { format: formats.plain, sourceId: '7', dataDate: '2026-01-01', generation: 1, ...options },
  );
}
const forever = new AbortController().signal;
async function all(from: LogReader, ranges: readonly Range[], recordsMax = 5000): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  // Copied, because memory that was handed back belongs to the next chunk.
  for await (const chunk of from.chunks(ranges, { recordsMax, signal: forever })) {
    chunks.push({ ...chunk, tuples: chunk.tuples.slice() });
    from.release(chunk);
  }
  return chunks;
}

describe.each(['plain', 'log4j', 'apache'] as const)('%s', (format) => {
  test('a thread makes the chunks that this process makes, and they are what the generator planted', async () => {
    const size = made[format]!.rawBytes;
    const threaded = await reader(fileOf(format), { format: formats[format], thread: 'always' });
    const inPlace = await reader(fileOf(format), { format: formats[format], thread: 'never' });
    const [chunks, same] = await Promise.all([
      all(threaded, [{ from: 0, to: size }]),
      all(inPlace, [{ from: 0, to: size }]),
    ]);
    expect([threaded.parsedIn, inPlace.parsedIn]).toEqual(['thread', 'process']);
    await Promise.all([threaded.close(), inPlace.close()]);
    expect(chunks.length).toBeGreaterThan(5);
    const plain = (chunk: Chunk): unknown => ({
      ...chunk,
      tuples: undefined,
      rows: rowsOf(chunk).length,
      rawSha256: Buffer.from(chunk.rawSha256).toString('hex'),
      rowsSha256: Buffer.from(chunk.rowsSha256).toString('hex'),
    });
    expect(chunks.map(plain)).toEqual(same.map(plain));
    const { rows, lines, poison } = made[format]!;
    expect(chunks.reduce((sum, chunk) => sum + chunk.rows, 0)).toBe(rows);
    expect(chunks.reduce((sum, chunk) => sum + chunk.lines, 0)).toBe(lines);
    expect(chunks.reduce((sum, chunk) => sum + chunk.rejects.length, 0)).toBe(
      Object.values(poison).reduce((sum, count) => sum + count, 0),
    );
  });
  test('the rows are the generator’s clean rows, text for text', async () => {
    const from = await reader(fileOf(format), { format: formats[format], sourceId: '1' });
    const rows = (await all(from, [{ from: 0, to: made[format]!.rawBytes }])).flatMap(rowsOf);
    await from.close();
    const escaped = (text: string): string =>
      text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
    const text = rows.map(({ sourceId, offset, line, micros, severity, module, message, attributesText, generation }) =>
      [
        sourceId,
        offset,
        line,
        new Date(Number(micros / 1000n)).toISOString(),
        severity,
        module,
        escaped(message),
        attributesText === null ? '\\N' : escaped(attributesText),
        '2026-01-01',
        generation,
      ].join('\t'),
    );
    expect(`${text.join('\n')}\n`).toBe(await readFile(join(folder, `${format}.copy`), 'utf8'));
  });
});

test('only the ranges are read, with the line numbers that the whole file has', async () => {
  const size = made.plain!.rawBytes;
  const from = await reader(fileOf('plain'));
  const whole = await all(from, [{ from: 0, to: size }]);
  const [, second, third, , fifth] = whole;
  const parts = await all(from, [
    { from: second!.from, to: third!.to },
    { from: fifth!.from, to: fifth!.to },
  ]);
  await from.close();
  expect(parts.map(({ from: start, to, firstLine, rows }) => ({ start, to, firstLine, rows }))).toEqual(
    [second!, third!, fifth!].map(({ from: start, to, firstLine, rows }) => ({ start, to, firstLine, rows })),
  );
});

test('the bytes of a record can be read again', async () => {
  const from = await reader(fileOf('plain'));
  const [chunk] = await all(from, [{ from: 0, to: made.plain!.rawBytes }]);
  const raw = await from.raw(chunk!.offsets[3]!, chunk!.lengths[3]!);
  await from.close();
  expect(Buffer.from(raw).toString()).toBe(
    `${(await readFile(fileOf('plain'), 'utf8')).split('\n')[rowsOf(chunk!)[3]!.line - 1]}\n`,
  );
});

test('gzip is read by offsets of what it holds', async () => {
  const path = join(folder, 'plain.log.gz');
  await writeFile(path, gzipSync(await readFile(fileOf('plain'))));
  const size = made.plain!.rawBytes;
  const [stored, decoded] = [await reader(path, {}, 'gzip'), await reader(fileOf('plain'))];
  const ranges = [{ from: 0, to: size }];
  const [chunks, same] = [await all(stored, ranges), await all(decoded, ranges)];
  expect(chunks.map(({ from, to, rowsSha256 }) => [from, to, Buffer.from(rowsSha256).toString('hex')])).toEqual(
    same.map(({ from, to, rowsSha256 }) => [from, to, Buffer.from(rowsSha256).toString('hex')]),
  );
  expect(await stored.raw(same[2]!.offsets[0]!, 20)).toEqual(await decoded.raw(same[2]!.offsets[0]!, 20));
  await Promise.all([stored.close(), decoded.close()]);
});

describe.each(['always', 'never'] as const)('thread: %s', (thread) => {
  test('a source that ends before its range is shrunk, and nothing behind its end was made up', async () => {
    const path = join(folder, 'shrunk.log');
    await writeFile(path, await readFile(fileOf('plain')));
    const from = await reader(path, { thread });
    await truncate(path, 1_000_000);
    let to = 0;
    const reading = (async () => {
      for await (const chunk of from.chunks([{ from: 0, to: made.plain!.rawBytes }], {
        recordsMax: 1000,
        signal: forever,
      }))
        to = chunk.to;
    })();
    await expect(reading).rejects.toMatchObject({ name: 'CodedError', failure: { code: 'source_shrunk' } });
    expect(to).toBeLessThanOrEqual(1_000_000);
    await from.close();
  });
  test('a broken gzip stream is shrunk too', async () => {
    const path = join(folder, `broken-${thread}.gz`);
    await writeFile(path, gzipSync(await readFile(fileOf('plain'))).subarray(0, 100_000));
    const from = await reader(path, { thread }, 'gzip');
    await expect(all(from, [{ from: 0, to: made.plain!.rawBytes }])).rejects.toMatchObject({
      failure: { code: 'source_shrunk' },
    });
    await from.close();
  });
  test('it stops when it is told to, and can be asked again', async () => {
    const from = await reader(fileOf('plain'), { thread });
    const stop = new AbortController();
    let seen = 0;
    for await (const chunk of from.chunks([{ from: 0, to: made.plain!.rawBytes }], {
      recordsMax: 500,
      signal: stop.signal,
    })) {
      from.release(chunk);
      if (++seen === 2) stop.abort();
    }
    expect(seen).toBe(2);
    expect(await all(from, [{ from: 0, to: made.plain!.rawBytes }])).toHaveLength(9);
    await from.close();
  });
  test('chunks that are never handed back cost memory, not chunks', async () => {
    const from = await reader(fileOf('plain'), { thread });
    let rows = 0;
    const kept: Chunk[] = [];
    for await (const chunk of from.chunks([{ from: 0, to: made.plain!.rawBytes }], {
      recordsMax: 2000,
      signal: forever,
    })) {
      kept.push(chunk);
      rows += chunk.rows;
    }
    expect(rows).toBe(made.plain!.rows);
    expect(kept.flatMap(rowsOf)).toHaveLength(rows);
    await from.close();
  });
});

test('closing ends a thread that nobody iterates any more', async () => {
  const from = await reader(fileOf('plain'), { thread: 'always' });
  const chunks = from.chunks([{ from: 0, to: made.plain!.rawBytes }], { recordsMax: 500, signal: forever });
  const iterator = chunks[Symbol.asyncIterator]();
  await iterator.next();
  await from.close();
});

test('a small range is parsed in place, a large one in a thread', async () => {
  const from = await reader(fileOf('plain'));
  await all(from, [{ from: 0, to: 100_000 }]);
  expect(from.parsedIn).toBe('process');
  await all(from, [{ from: 0, to: made.plain!.rawBytes }]);
  expect(from.parsedIn).toBe('thread');
  await from.close();
});

test('a data date that is no day is refused before anything is read', async () => {
  const from = await reader(fileOf('plain'), { dataDate: '2026-02-30' });
  await expect(all(from, [{ from: 0, to: 10 }])).rejects.toMatchObject({ failure: { code: 'config_invalid' } });
  await from.close();
});

test('the columns are those of log_entries', () =>
  expect(LOG_COLUMNS).toEqual([
    'source_id',
    'offset',
    'line_no',
    'ts',
    'severity',
    'module',
    'message',
    'attributes',
    'data_date',
    'generation',
  ]));

test('a line of 1 GB is one reject, in bounded memory, with its neighbours loaded', async () => {
  const path = join(folder, 'giant.log');
  const good = '2026-01-01T00:00:00Z INFO [m] x\n';
  const part = Buffer.alloc(2 ** 20, 'x');
  await writeFile(path, good);
  for (let n = 0; n < 2 ** 10; n++) await appendFile(path, part);
  await appendFile(path, `\n${good}`);
  const { rejects, grown, ...chunk } = await readGiant(path, 2 * good.length + 2 ** 30 + 1);
  await unlink(path);
  expect(chunk).toMatchObject({ rows: 2, lines: 3 });
  expect(rejects).toMatchObject([
    { code: 'record_too_long', offset: good.length, length: 2 ** 30 + 1, line: 2, rawWhole: false },
  ]);
  // sha256 of 2^30 times `x`.
  expect(Buffer.from(rejects[0]!.rawSha256).toString('hex')).toBe(
    'e99508f2bd8ee171c7e41eb0370907eeddf47dba62efbcf99dd25e48ee87c4c8',
  );
  expect(grown).toBeLessThan(100 * 2 ** 20);
}, 120_000);

test('a hole of 1 GB of NULs is one reject, in bounded memory, with its neighbours loaded', async () => {
  const path = join(folder, 'hole.log');
  const good = '2026-01-01T00:00:00Z INFO [m] x\n';
  await writeFile(path, good);
  // A gigabyte to whoever reads it, nothing to the disk.
  await truncate(path, good.length + 2 ** 30);
  await appendFile(path, good);
  const { rejects, grown, ...chunk } = await readGiant(path, 2 * good.length + 2 ** 30);
  expect(chunk).toMatchObject({ rows: 2 });
  expect(rejects).toMatchObject([{ code: 'nul_byte', offset: good.length, length: 2 ** 30, rawWhole: false }]);
  // sha256 of 2^30 zero bytes.
  expect(Buffer.from(rejects[0]!.rawSha256).toString('hex')).toBe(
    '49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14',
  );
  expect(grown).toBeLessThan(100 * 2 ** 20);
}, 120_000);

/** All of it as one chunk, and by how many bytes the process grew meanwhile. */
async function readGiant(path: string, size: number) {
  const before = process.memoryUsage().rss;
  const from = await reader(path, { thread: 'never' });
  const [chunk, ...others] = await all(from, [{ from: 0, to: size }]);
  await from.close();
  expect(others).toEqual([]);
  expect(chunk!.to).toBe(size);
  return { ...chunk!, grown: process.memoryUsage().rss - before };
}
