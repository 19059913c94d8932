// What lives here: which files a folder has, what opening one says, and where its last finished record ends.
// Invariant: every kind of thing that can lie in a folder has an outcome here.
// Apart from identity, which needs a ledger.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EndOptions, finishedEnd, type FinishedEnd } from '../../src/connectors/file-end.ts';
import { displayName, fileFault, type FileRef, listFiles, openFile } from '../../src/connectors/files.ts';
import { formats } from '../../src/flow/formats/index.ts';
import { openLogReader } from '../../src/flow/log-reader.ts';
import { bytesOf } from '../../src/flow/parse/bytes.ts';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'mendflow-files-'))));
afterAll(() => rmSync(folder, { recursive: true }));
/** A tool of every POSIX system. Node has no call for it. */
const pipeTool = 'mkfifo';
const makePipe = (path: string): Buffer => execFileSync(pipeTool, [path]);
const room = (name: string): string => {
  mkdirSync(join(folder, name));
  return join(folder, name);
};
const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'nothing was thrown',
    (error: { failure?: { code: string } }) => error.failure?.code ?? error,
  );

describe('listing', () => {
  test('a folder: its files by the bytes of their names, links to files, links to nothing; nothing else', async () => {
    const here = room('list');
    for (const name of ['b.log', 'a.log', 'B.log', 'ä.log', '.hidden', 'tab\there', 'back\\slash'])
      writeFileSync(join(here, name), name);
    mkdirSync(join(here, 'sub'));
    symlinkSync('a.log', join(here, 'link'));
    symlinkSync('sub', join(here, 'link-to-folder'));
    symlinkSync('nowhere', join(here, 'dangling'));
    makePipe(join(here, 'pipe'));
    const server = createServer().listen(join(here, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    const left: string[] = [];
    const found = await listFiles(here, (name, kind) => left.push(`${kind} ${name}`));
    server.close();
    expect(found.map(({ name }) => name)).toEqual([
      '.hidden',
      'B.log',
      'a.log',
      'b.log',
      'back\\\\slash',
      'dangling',
      'link',
      'tab\\x09here',
      'ä.log',
    ]);
    expect(left.toSorted()).toEqual(['folder link-to-folder', 'folder sub', 'other pipe', 'other socket']);
    expect(Buffer.from(found[2]!.path, 'base64').toString()).toBe(join(here, 'a.log'));
  });
  test('one file', async () => {
    const path = join(folder, 'one.log');
    writeFileSync(path, 'x');
    expect(await listFiles(path)).toEqual([{ name: 'one.log', path: Buffer.from(path).toString('base64') }]);
  });
  test('names that are no UTF-8 survive JSON and open', async () => {
    const here = room('bytes');
    const path = Buffer.concat([Buffer.from(`${here}/`), Buffer.from([0x61, 0xff, 0x0a, 0x62])]);
    writeFileSync(path, 'found');
    const refs = JSON.parse(JSON.stringify(await listFiles(here))) as FileRef[];
    expect(refs.map(({ name }) => name)).toEqual(['a\\xff\\x0ab']);
    const file = await openFile(refs[0]!);
    expect([file.storedBytes, file.sourceName.equals(path.subarray(1))]).toEqual([5, true]);
    await file.close();
  });
  test('two names never look the same', () => {
    const names = [
      Buffer.from([0xff]),
      Buffer.from('\\xff'),
      Buffer.from('ÿ'),
      Buffer.from([0xc3, 0xbf, 0xff]),
      Buffer.from('\\\\xff'),
    ];
    expect(new Set(names.map(displayName)).size).toBe(names.length);
  });
  test.each([
    ['a path that does not exist', () => join(folder, 'missing'), 'file_missing'],
    ['a path through a file', () => join(folder, 'one.log', 'x'), 'file_missing'],
    ['a device', () => '/dev/null', 'file_not_regular'],
  ])('%s', async (_, path, expected) => expect(await code(listFiles(path()))).toBe(expected));
  test('an empty folder has no files', async () => expect(await listFiles(room('empty'))).toEqual([]));
});

describe('opening', () => {
  const ref = (path: string): FileRef => ({ name: 'x', path: Buffer.from(path).toString('base64') });
  test('a file that went after it was listed has vanished', async () => {
    const here = room('gone');
    writeFileSync(join(here, 'a'), 'x');
    const [listed] = await listFiles(here);
    unlinkSync(join(here, 'a'));
    expect(await code(openFile(listed!))).toBe('file_vanished');
  });
  test('a file that goes while it is read is read to its end', async () => {
    const path = join(folder, 'going.log');
    const lines = Array.from({ length: 2000 }, (_, index) => `2026-01-01T00:00:00Z INFO [m] ${index}\n`).join('');
    writeFileSync(path, lines);
    const file = await openFile(ref(path));
    const reader = openLogReader(file, { format: formats.plain, sourceId: '1', dataDate: '2026-01-01', generation: 1 });
    let rows = 0;
    for await (const chunk of reader.chunks([{ from: 0, to: lines.length }], {
      recordsMax: 100,
      signal: new AbortController().signal,
    })) {
      if (rows === 0) unlinkSync(path);
      rows += chunk.rows;
    }
    await reader.close();
    expect(rows).toBe(2000);
  });
  test('a pipe is refused at once, although nobody writes to it', async () => {
    const path = join(folder, 'fifo');
    makePipe(path);
    expect(await code(openFile(ref(path)))).toBe('file_not_regular');
  });
  test('a folder and a device are refused', async () => {
    expect(await code(openFile(ref(folder)))).toBe('file_not_regular');
    expect(await code(openFile(ref('/dev/null')))).toBe('file_not_regular');
  });
  test('a loop of links is refused', async () => {
    symlinkSync('loop', join(folder, 'loop'));
    expect(await code(openFile(ref(join(folder, 'loop'))))).toBe('file_not_regular');
  });
  test('what may not be read is forbidden; an error that is not about the path is left as it is', () => {
    expect(fileFault({ code: 'EACCES' }, 'x')).toMatchObject({ failure: { code: 'file_forbidden' } });
    const io = Object.assign(new Error('i/o'), { code: 'EIO' });
    expect(fileFault(io, 'x')).toBe(io);
  });
  test('the suffix of the codec is no part of the source’s name', async () => {
    const path = join(folder, 'packed.log.gz');
    writeFileSync(path, gzipSync('x'));
    const file = await openFile(ref(path));
    expect([file.codec, file.sourceName.toString()]).toEqual(['gzip', path.slice(1, -3)]);
    await file.close();
  });
});

describe('the end of the last finished record', () => {
  const plain = '2026-01-01T00:00:00Z INFO [m] a\n';
  const head = '[2026-01-01 00:00:00,000] INFO a (m)\n';
  let count = 0;
  async function endOf(
    content: string | Buffer,
    options: Partial<EndOptions> & { ageMs?: number; suffix?: string } = {},
  ): Promise<FinishedEnd> {
    const { ageMs = 10_000, suffix = '', ...more } = options;
    const path = join(folder, `end-${++count}${suffix}`);
    writeFileSync(path, content);
    const changed = (Date.now() - ageMs) / 1000;
    utimesSync(path, changed, changed);
    const file = await openFile({ name: 'x', path: Buffer.from(path).toString('base64') });
    try {
      return await finishedEnd(file, bytesOf(file.fd, file.codec), {
        format: formats.plain,
        past: true,
        ...more,
      });
    } finally {
      await file.close();
    }
  }
  test('a file that was quiet is finished, newline or not', async () => {
    expect(await endOf(`${plain}2026`)).toEqual({ to: plain.length + 4, sealed: true, left: 0 });
  });
  test('a line without its newline is left while the file may grow', async () => {
    expect(await endOf(`${plain}${plain}2026`, { sealed: false })).toEqual({
      to: 2 * plain.length,
      sealed: false,
      left: 4,
    });
    expect(await endOf('2026', { sealed: false })).toEqual({ to: 0, sealed: false, left: 4 });
    expect(await endOf('', { sealed: false })).toEqual({ to: 0, sealed: false, left: 0 });
  });
  test('with continuation lines, so is the last record', async () => {
    const options = { format: formats.log4j, sealed: false };
    expect(await endOf(`${head}\tat x\n${head}\tat y\n`, options)).toEqual({
      to: head.length + 6,
      sealed: false,
      left: head.length + 6,
    });
    expect(await endOf(head, options)).toEqual({ to: 0, sealed: false, left: head.length });
    const long = `\tat some.where(X.java:1)\n`.repeat(20_000);
    for (const shift of [0, 5, 11]) {
      const before = `${head}${'x'.repeat(shift)}\n`;
      expect((await endOf(`${before}${head}${long}`, options)).to).toBe(before.length);
    }
  });
  test('a head that a border of blocks cuts is seen', async () => {
    const options = { format: formats.log4j, sealed: false };
    for (let cut = 60; cut < 76; cut++) {
      const last = `${head}${'x'.repeat(64 * 1024 - head.length - 1 + cut - 60 - 12)}\n`;
      expect((await endOf(`${head}${last}`, options)).to).toBe(head.length);
    }
  });
  test('what was written a moment ago of a past day is waited for', async () => {
    const before = Date.now();
    expect(await endOf(`${plain}2026`, { ageMs: 0 })).toMatchObject({ sealed: true, left: 0 });
    expect(Date.now() - before).toBeGreaterThan(700);
  });
  test('today’s file is quiet only after a minute', async () => {
    expect(await endOf(`${plain}2026`, { ageMs: 30_000, past: false })).toMatchObject({ sealed: false, left: 4 });
    expect(await endOf(`${plain}2026`, { ageMs: 90_000, past: false })).toMatchObject({ sealed: true, left: 0 });
  });
  test('what is written while one waits is left', async () => {
    const path = join(folder, 'busy');
    writeFileSync(path, `${plain}2026`);
    const file = await openFile({ name: 'x', path: Buffer.from(path).toString('base64') });
    const writing = setInterval(() => appendFileSync(path, '-'), 100);
    const end = await finishedEnd(file, bytesOf(file.fd, 'none'), {
      format: formats.plain,
      past: true,
      quietMs: 600,
    });
    clearInterval(writing);
    await file.close();
    expect(end).toMatchObject({ to: plain.length, sealed: false });
  });
  test('a compressed file is finished, and its end is counted in what it holds', async () =>
    expect(await endOf(gzipSync(`${plain}2026`), { suffix: '.gz' })).toEqual({
      to: plain.length + 4,
      sealed: true,
      left: 0,
    }));
});
