// What lives here: what a file is by its first bytes, whatever its name says.
// Invariant: samples were made by the real tools (bzip2, xz, zip, tar of Python) or state the bytes of a published format.
// Apart from opening, because this is a table of kinds.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kindOf } from '../../src/connectors/file-kind.ts';
import { type FileRef, openFile } from '../../src/connectors/files.ts';

const line = '2026-11-21T08:00:00.000Z INFO [api] ready\n';
const text = line.repeat(100);
const swapped = (bytes: Buffer): Buffer => Buffer.from(bytes).swap16();
const wide = (value: string): Buffer =>
  Buffer.concat(Array.from(value, (each) => Buffer.from([each.codePointAt(0)!, 0, 0, 0])));
const random = (length: number): Buffer => {
  let state = 7;
  return Buffer.from(
    Array.from({ length }, () => ((state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) >> 16) & 255),
  );
};

let folder: string;
/** Files that Python's own library makes: its bzip2, xz, lzma, zip and tar are those of the system. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendflow-kinds-'));
  writeFileSync(join(folder, 'app.log'), text);
  const script = `
import bz2, lzma, tarfile, zipfile, io
t = open('app.log', 'rb').read()
open('bz2', 'wb').write(bz2.compress(t)); open('bz2-empty', 'wb').write(bz2.compress(b''))
open('xz', 'wb').write(lzma.compress(t)); open('lzma', 'wb').write(lzma.compress(t, format=lzma.FORMAT_ALONE))
z = zipfile.ZipFile('zip', 'w', zipfile.ZIP_DEFLATED); z.write('app.log'); z.close()
zipfile.ZipFile('zip-empty', 'w').close()
for name, form in (('tar-gnu', tarfile.GNU_FORMAT), ('tar-pax', tarfile.PAX_FORMAT), ('tar-ustar', tarfile.USTAR_FORMAT)):
    a = tarfile.open(name, 'w', format=form); a.add('app.log'); a.close()
`;
  execFileSync('python3', ['-c', script], { cwd: folder });
});
afterAll(() => rmSync(folder, { recursive: true }));
const made = (name: string): Buffer => readFileSync(join(folder, name));

describe('what can be read', () => {
  test.each<[string, () => Buffer]>([
    ['nothing', () => Buffer.alloc(0)],
    ['one byte', () => Buffer.from('x')],
    ['a log', () => Buffer.from(text)],
    ['a log with a byte order mark', () => Buffer.from(`\ufeff${text}`)],
    ['text beyond ASCII', () => Buffer.from('2026-11-21 東京 é 🚀\n'.repeat(300))],
    [
      'a log in Latin-1, whose lines are judged one by one',
      () => Buffer.from('2026-11-21T08:00:00Z INFO [api] caf\u00e9\n'.repeat(90), 'latin1'),
    ],
    ['colours of a terminal', () => Buffer.from('\u001b[32mINFO\u001b[0m \u001b[1mready\u001b[0m\n'.repeat(200))],
    ['a hole before the first line', () => Buffer.concat([Buffer.alloc(3000), Buffer.from(text)])],
    ['a hole only', () => Buffer.alloc(9000)],
    ['a hole between lines', () => Buffer.from(line + '\0'.repeat(2000) + line)],
    [
      'one line of rubbish among good ones',
      () => Buffer.concat([Buffer.from(text.slice(0, 1000)), random(60), Buffer.from(`\n${text}`)]),
    ],
    ['a line that begins like an archive of text', () => Buffer.from(`PK: no archive\nLZIP is a word\nOBJ\n${text}`)],
    ['a line that begins with LZIP', () => Buffer.from(`LZIP\n${text}`)],
    ['one line that draws its progress', () => Buffer.from(`${line.trim()} 10%\r20%\r100% done`)],
    ['lines that end in both', () => Buffer.from(text.replaceAll('\n', '\r\n'))],
    ['BZh without its magic', () => Buffer.from(`BZh9 is how bzip2 begins\n${text}`)],
  ])('%s', (_, bytes) => expect(kindOf(bytes().subarray(0, 4096))).toEqual({ codec: 'none' }));
  test.each<[string, () => Buffer]>([
    ['gzip', () => gzipSync(text)],
    ['gzip of nothing', () => gzipSync('')],
    ['gzip that breaks off', () => gzipSync(random(9000)).subarray(0, 15)],
    [
      'gzip of many blocks',
      () => gzipSync(Buffer.from(Array.from({ length: 40_000 }, (_, index) => `${index * 7919}\n`).join(''))),
    ],
    ['gzip of zeros', () => gzipSync(Buffer.alloc(1 << 24))],
  ])('%s', (_, bytes) => expect(kindOf(bytes().subarray(0, 4096))).toEqual({ codec: 'gzip' }));
});

describe('what is refused, and what it is', () => {
  test.each<[string, RegExp, () => Buffer]>([
    ['zip', /zip archive/, () => made('zip')],
    ['an empty zip', /zip archive/, () => made('zip-empty')],
    ['bzip2', /bzip2/, () => made('bz2')],
    ['bzip2 of nothing', /bzip2/, () => made('bz2-empty')],
    ['xz', /\bxz/, () => made('xz')],
    ['lzma', /lzma/, () => made('lzma')],
    ['tar of GNU', /tar archive/, () => made('tar-gnu')],
    ['tar of POSIX', /tar archive/, () => made('tar-pax')],
    ['tar, ustar', /tar archive/, () => made('tar-ustar')],
    ['tar without a magic', /tar archive/, () => oldTar(made('tar-ustar'))],
    ['tar.gz', /gzip.*tar archive/, () => gzipSync(made('tar-gnu'))],
    ['zip in gzip', /gzip.*zip/, () => gzipSync(made('zip'))],
    ['gzip in gzip', /gzip.*gzip/, () => gzipSync(gzipSync(text))],
    ['UTF-16 in gzip', /UTF-16/, () => gzipSync(Buffer.from(text, 'utf16le'))],
    ['zstd', /zstd/, () => Buffer.from('28b52ffd2400010000', 'hex')],
    ['zstd in frames of several threads', /zstd/, () => Buffer.from('502a4d180400000002000000', 'hex')],
    ['lines that end in carriage returns', /carriage returns/, () => Buffer.from(text.replaceAll('\n', '\r'))],
    ['two JSON lines that do', /carriage returns/, () => Buffer.from('{"time":1,"msg":"a"}\r{"time":2,"msg":"b"}\r')],
    [
      'lines of syslog that do, in gzip',
      /gzip.*carriage/,
      () => gzipSync('Nov 21 08:00:00 h a: x\rNov 21 08:00:01 h a: y'),
    ],
    ['lz4', /lz4/, () => Buffer.from('04224d186440a7', 'hex')],
    ['7z', /7z/, () => Buffer.from('377abcaf271c0004', 'hex')],
    ['rar', /rar/, () => Buffer.from('526172211a070100', 'hex')],
    ['compress', /\.Z/, () => Buffer.from('1f9d9032', 'hex')],
    ['UTF-16, little end first', /UTF-16/, () => Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16, big end first', /UTF-16/, () => swapped(Buffer.from(`\ufeff${text}`, 'utf16le'))],
    ['UTF-16 without a mark', /UTF-16/, () => Buffer.from(text, 'utf16le')],
    ['UTF-16 without a mark, big end first', /UTF-16/, () => swapped(Buffer.from(text, 'utf16le'))],
    ['UTF-32', /UTF-32/, () => wide(`\ufeff${text}`)],
    ['UTF-32 without a mark', /UTF-32/, () => wide(text)],
    ['UTF-32 without a mark, big end first', /UTF-32/, () => wide(text).swap32()],
    ['SQLite', /SQLite/, () => Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(84, 1)])],
    ['a journal of systemd', /journal/, () => Buffer.concat([Buffer.from('LPKSHHRH'), Buffer.alloc(300)])],
    ['Parquet', /Parquet/, () => Buffer.from('504152311504150015', 'hex')],
    ['bytes at random', /no text/, () => random(4096)],
    ['EBCDIC', /no text/, () => Buffer.from('c995a3998540c995869640'.repeat(60), 'hex')],
  ])('%s', (_, what, bytes) => {
    const kind = kindOf(bytes().subarray(0, 4096));
    expect(kind).toMatchObject({ what: expect.stringMatching(what) as string, remedy: expect.any(String) as string });
  });
});

/** The header of the seventh edition of Unix: no magic behind the name of the link. */
function oldTar(bytes: Buffer): Buffer {
  const old = Buffer.from(bytes);
  old.fill(0, 257, 345);
  old.write('        ', 148, 'latin1');
  const sum = old.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  old.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return old;
}

describe('opening', () => {
  const at = (name: string, bytes: Buffer): FileRef => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return { name, path: Buffer.from(path).toString('base64') };
  };
  test.each([
    ['rotated.log.gz.1', 'gzip'],
    ['as-it-is.log', 'gzip'],
    ['named.log.gz', 'none'],
  ] as const)('%s is read as what it is: %s', async (name, codec) => {
    const file = await openFile(at(name, codec === 'gzip' ? gzipSync(text) : Buffer.from(text)));
    expect(file.codec).toBe(codec);
    await file.close();
  });
  test('what cannot be read is refused by one sentence with its name, its kind and what to do', async () => {
    await expect(openFile(at('old.log.gz', made('xz')))).rejects.toMatchObject({
      failure: { code: 'file_not_text' },
      message: expect.stringMatching(/^old\.log\.gz is compressed with xz;.*Unpack it/) as string,
    });
  });
});
