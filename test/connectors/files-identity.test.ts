// What lives here: what a file is taken for when it was seen before, grew, was moved, cut, copied or written anew.
// Invariant: the ledger here is a list, but its hashes are those of real chunks of real files.
// Apart because each case is a story of a few steps on the file system.
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Identity, KnownSource, KnownSources, OnRewrite } from '../../src/connectors/file-identity.ts';
import { openSource } from '../../src/connectors/file-source.ts';
import { listFiles } from '../../src/connectors/files.ts';
import { formats } from '../../src/flow/formats/index.ts';
import { openLogReader } from '../../src/flow/log-reader.ts';

/** Sources with their proofs: what the database keeps. */
class Ledger implements KnownSources {
  readonly sources: { -readonly [key in keyof KnownSource]: KnownSource[key] }[] = [];
  byName = async (name: Uint8Array): Promise<KnownSource | undefined> =>
    this.sources.filter((source) => Buffer.from(source.name).equals(name)).at(-1);
  byStart: KnownSources['byStart'] = async (size, holdsFirst) => {
    const same: KnownSource[] = [];
    const firsts = this.sources.filter(({ proofs }) => proofs[0]?.from === 0 && proofs[0].to <= size);
    for (const source of firsts.toSorted((a, b) => a.proofs[0]!.to - b.proofs[0]!.to))
      if (await holdsFirst(source.proofs[0]!)) same.push(source);
    return same;
  };
}

let folder: string;
let ledger: Ledger;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendflow-identity-'));
  ledger = new Ledger();
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const lines = (from: number, count: number, word = 'first'): string =>
  Array.from({ length: count }, (_, index) => `2026-01-01T00:00:00Z INFO [m] ${word} ${from + index}\n`).join('');

/** Loads what is new of a file, as a run would, in chunks of ten records; returns what the file was taken for and how many rows were new. */
async function load(name: string, onRewrite?: OnRewrite): Promise<{ identity: Identity; rows: number; id: string }> {
  const [ref] = await listFiles(path(name));
  const opened = await openSource(ref!, {
    known: ledger,
    format: formats.plain,
    dataDate: '2026-01-01',
    sealed: true,
    ...(onRewrite ? { onRewrite } : {}),
  });
  const { identity, from, to, file } = opened;
  if (identity.kind === 'new') {
    const id = String(ledger.sources.length + 1);
    ledger.sources.push({
      id,
      name: file.sourceName,
      version: identity.version,
      proofs: [],
      plannedTo: 0,
      hint: file.hint,
    });
  }
  const id = identity.kind === 'new' ? String(ledger.sources.length) : identity.sourceId;
  const source = ledger.sources[Number(id) - 1]!;
  const reader = openLogReader(file, { format: formats.plain, sourceId: id, dataDate: '2026-01-01', generation: 1 });
  let rows = 0;
  for await (const chunk of reader.chunks([{ from, to }], { recordsMax: 10, signal: new AbortController().signal })) {
    rows += chunk.rows;
    const proof = { from: chunk.from, to: chunk.to, rawSha256: chunk.rawSha256 };
    source.proofs = source.proofs.length === 0 ? [proof] : [source.proofs[0]!, proof];
  }
  await reader.close();
  source.plannedTo = Math.max(source.plannedTo, to);
  return { identity, rows, id };
}
const failing = (name: string): Promise<unknown> =>
  load(name).then(
    () => 'nothing was thrown',
    (error: { failure?: { code: string } }) => error.failure?.code ?? error,
  );

test('new, then unchanged, then grown: only what is new is read', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'new', version: 1, from: 0 }, rows: 25 });
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'known', sourceId: '1' }, rows: 0 });
  writeFileSync(path('a.log'), lines(0, 31));
  expect(await load('a.log')).toMatchObject({
    identity: { kind: 'known', sourceId: '1', from: lines(0, 25).length },
    rows: 6,
  });
});

test('an empty file is new, and still new when it has bytes', async () => {
  writeFileSync(path('a.log'), '');
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'new' }, rows: 0 });
  writeFileSync(path('a.log'), lines(0, 3));
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'known', from: 0 }, rows: 3 });
});

test('renamed: it is the same source, and nothing of it is read twice', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  renameSync(path('a.log'), path('b.log'));
  expect(await load('b.log')).toMatchObject({
    identity: { kind: 'known', sourceId: '1', renamedFrom: path('a.log').slice(1) },
    rows: 0,
  });
});

test('rotated: the old bytes are known beside it, the name begins anew without a question', async () => {
  writeFileSync(path('app.log'), lines(0, 25));
  await load('app.log');
  writeFileSync(path('app.log'), lines(0, 27));
  renameSync(path('app.log'), path('app.log.1'));
  writeFileSync(path('app.log'), lines(100, 12, 'second'));
  expect(await load('app.log')).toMatchObject({ identity: { kind: 'new', version: 2 }, rows: 12 });
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', sourceId: '1' }, rows: 2 });
  renameSync(path('app.log.1'), path('app.log.2'));
  renameSync(path('app.log'), path('app.log.1'));
  writeFileSync(path('app.log'), lines(200, 3, 'third'));
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', sourceId: '2' }, rows: 0 });
  expect(await load('app.log.2')).toMatchObject({ identity: { kind: 'known', sourceId: '1' }, rows: 0 });
  expect(await load('app.log')).toMatchObject({ identity: { kind: 'new', version: 3 }, rows: 3 });
});

test('rotated by copying and truncating: the same', async () => {
  writeFileSync(path('app.log'), lines(0, 25));
  await load('app.log');
  copyFileSync(path('app.log'), path('app.log.1'));
  truncateSync(path('app.log'));
  expect(await load('app.log')).toMatchObject({ identity: { kind: 'new', version: 2 }, rows: 0 });
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', sourceId: '1' }, rows: 0 });
});

test('compressed since: it is the same source', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  writeFileSync(path('a.log.gz'), gzipSync(lines(0, 27)));
  unlinkSync(path('a.log'));
  expect(await load('a.log.gz')).toMatchObject({ identity: { kind: 'known', sourceId: '1' }, rows: 2 });
});

test('rotated and compressed: the name begins anew', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  writeFileSync(path('a.log.1.gz'), gzipSync(readFileSync(path('a.log'))));
  writeFileSync(path('a.log'), lines(9, 9, 'second'));
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'new', version: 2 }, rows: 9 });
});

test('a copy is loaded and named', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  copyFileSync(path('a.log'), path('b.log'));
  expect(await load('b.log')).toMatchObject({
    identity: { kind: 'new', version: 1, copyOf: path('a.log').slice(1) },
    rows: 25,
  });
});

test('cut short is shrunk, not rewritten', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  truncateSync(path('a.log'), lines(0, 15).length);
  expect(await failing('a.log')).toBe('source_shrunk');
});

test('shrunk by its last bytes only, behind what was committed', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  ledger.sources[0]!.plannedTo += 10;
  expect(await failing('a.log')).toBe('source_shrunk');
});

test('other bytes are a question, unless the pipeline has an answer', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  writeFileSync(path('a.log'), lines(0, 40, 'other'));
  expect(await failing('a.log')).toBe('source_rewritten');
  expect(await load('a.log', 'separate')).toMatchObject({ identity: { kind: 'new', version: 2 }, rows: 40 });
  writeFileSync(path('a.log'), lines(0, 7, 'third'));
  expect(await load('a.log', 'separate')).toMatchObject({ identity: { kind: 'new', version: 3 }, rows: 7 });
});

test('a change in the last committed chunk alone is seen', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  writeFileSync(path('a.log'), lines(0, 24) + lines(99, 1));
  expect(await failing('a.log')).toBe('source_rewritten');
});

test('a few lines that another file began with prove nothing', async () => {
  writeFileSync(path('monday.log'), lines(0, 2));
  await load('monday.log');
  // Written before the old one goes, so that it cannot get the same inode.
  writeFileSync(path('tuesday.log'), lines(0, 9));
  unlinkSync(path('monday.log'));
  expect(await load('tuesday.log')).toMatchObject({ identity: { kind: 'new' }, rows: 9 });
});
