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
import { finishedEnd } from '../../src/connectors/file-end.ts';
import { identify, type Identity, type OnRewrite } from '../../src/connectors/file-identity.ts';
import type { KnownSource, KnownSources } from '../../src/connectors/file-claim.ts';
import { hintOf } from '../../src/connectors/file-moved.ts';
import { headsOf } from '../../src/connectors/file-proof.ts';
import { type Hint, listFiles, openFile } from '../../src/connectors/files.ts';
import { formats } from '../../src/flow/formats/index.ts';
import { openLogReader } from '../../src/flow/log-reader.ts';
import { bytesOf } from '../../src/flow/parse/bytes.ts';

/** Sources with their proofs: what the database keeps. */
class Ledger implements KnownSources {
  readonly sources: { -readonly [key in keyof KnownSource]: KnownSource[key] }[] = [];
  byName = async (name: Uint8Array): Promise<KnownSource | undefined> =>
    this.sources.filter((source) => Buffer.from(source.name).equals(name)).at(-1);
  byHead = async (heads: readonly Uint8Array[]): Promise<KnownSource[]> =>
    this.sources.filter(({ head }) => head && heads.some((one) => Buffer.from(one).equals(head)));
  byPlace = async ({ inode, path }: Hint): Promise<KnownSource[]> => {
    const last = (fits: (hint: Partial<Hint>) => boolean) =>
      this.sources.filter(({ hint }) => fits(hintOf(hint))).at(-1);
    const found = [last((hint) => hint.inode === inode), last((hint) => hint.path === path)];
    return [...new Set(found.filter((source) => source !== undefined))];
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
  const file = await openFile(ref!);
  const bytes = bytesOf(file.fd, file.codec);
  const plain = { format: formats.plain, dataDate: '2026-01-01' };
  const { to } = await finishedEnd(file, bytes, { format: formats.plain, past: true, sealed: true });
  const { sourceName, hint } = file;
  const question = { ref: ref!, sourceName, hint, bytes, size: to, known: ledger };
  const identity = await identify({ ...question, ...(onRewrite ? { onRewrite } : {}) }).catch(
    async (error: unknown) => {
      await file.close();
      throw error;
    },
  );
  if (identity.kind === 'new') {
    const id = String(ledger.sources.length + 1);
    ledger.sources.push({ id, name: file.sourceName, version: identity.version, proofs: [] });
  }
  const id = identity.kind === 'new' ? String(ledger.sources.length) : identity.source.id;
  const source = ledger.sources[Number(id) - 1]!;
  source.hint = { ...file.hint, at: Date.now() };
  if (source.proofs.length === 0) source.head = (await headsOf(bytes, to)).at(-1) ?? null;
  const from = source.proofs.at(-1)?.to ?? 0;
  const reader = openLogReader(file, { ...plain, sourceId: id, generation: 1 });
  let rows = 0;
  for await (const chunk of reader.chunks([{ from, to }], { recordsMax: 10, signal: new AbortController().signal })) {
    rows += chunk.rows;
    source.proofs = [...source.proofs, { from: chunk.from, to: chunk.to, rawSha256: chunk.rawSha256 }];
  }
  await reader.close();
  return { identity, rows, id };
}
const failing = (name: string): Promise<unknown> =>
  load(name).then(
    () => 'nothing was thrown',
    (error: { failure?: { code: string } }) => error.failure?.code ?? error,
  );

test('new, then unchanged, then grown: only what is new is read', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'new', version: 1 }, rows: 25 });
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'known', source: { id: '1' } }, rows: 0 });
  writeFileSync(path('a.log'), lines(0, 31));
  expect(await load('a.log')).toMatchObject({
    identity: { kind: 'known', source: { id: '1' } },
    rows: 6,
  });
});

test('an empty file is new, and still new when it has bytes', async () => {
  writeFileSync(path('a.log'), '');
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'new' }, rows: 0 });
  writeFileSync(path('a.log'), lines(0, 3));
  expect(await load('a.log')).toMatchObject({ identity: { kind: 'known' }, rows: 3 });
});

test('renamed: it is the same source, and nothing of it is read twice', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  renameSync(path('a.log'), path('b.log'));
  expect(await load('b.log')).toMatchObject({
    identity: { kind: 'known', source: { id: '1' }, renamedFrom: path('a.log') },
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
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', source: { id: '1' } }, rows: 2 });
  renameSync(path('app.log.1'), path('app.log.2'));
  renameSync(path('app.log'), path('app.log.1'));
  writeFileSync(path('app.log'), lines(200, 3, 'third'));
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', source: { id: '2' } }, rows: 0 });
  expect(await load('app.log.2')).toMatchObject({ identity: { kind: 'known', source: { id: '1' } }, rows: 0 });
  expect(await load('app.log')).toMatchObject({ identity: { kind: 'new', version: 3 }, rows: 3 });
});

test('rotated by copying and truncating: the same', async () => {
  writeFileSync(path('app.log'), lines(0, 25));
  await load('app.log');
  copyFileSync(path('app.log'), path('app.log.1'));
  truncateSync(path('app.log'));
  expect(await load('app.log')).toMatchObject({ identity: { kind: 'new', version: 2 }, rows: 0 });
  expect(await load('app.log.1')).toMatchObject({ identity: { kind: 'known', source: { id: '1' } }, rows: 0 });
});

test('compressed since: it is the same source', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  writeFileSync(path('a.log.gz'), gzipSync(lines(0, 27)));
  unlinkSync(path('a.log'));
  expect(await load('a.log.gz')).toMatchObject({ identity: { kind: 'known', source: { id: '1' } }, rows: 2 });
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
    identity: { kind: 'new', version: 1, copyOf: { id: '1' } },
    rows: 25,
  });
});

test('cut short is shrunk, not rewritten', async () => {
  writeFileSync(path('a.log'), lines(0, 25));
  await load('a.log');
  truncateSync(path('a.log'), lines(0, 15).length);
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
