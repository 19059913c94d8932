// What lives here: files and folders of the worker's machine: which files there are, and one of them opened for an attempt.
// Invariant: names are bytes all the way; one descriptor serves an attempt, so a file that is moved or removed is still read to its end.
// Apart because paths, links and errno are the file system's affair and nobody else's.
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { type Code, CodedError } from '../model/failure.ts';
import type { Codec } from '../flow/parse/bytes.ts';
import { KIND_BYTES, kindOf } from './file-kind.ts';

/** A file as it travels between stages: safe in JSON whatever its name's bytes are. */
export interface FileRef {
  /** Relative to the folder that was listed, for people and stage keys. Bytes that are no UTF-8, control characters and backslashes are escaped, so two files never share a name. */
  readonly name: string;
  /** Bytes of the absolute path, in base64. */
  readonly path: string;
}

/** A file that was opened. Whoever reads it closes it. */
export interface OpenFile {
  readonly ref: FileRef;
  readonly fd: number;
  readonly codec: Codec;
  /** Bytes as stored. */
  readonly storedBytes: number;
  readonly modifiedMs: number;
  /** Name of the source: the absolute path's bytes without the first slash and without the suffix of the codec. */
  readonly sourceName: Buffer;
  /** What helps to find the file again; never a proof that it is the same. */
  readonly hint: Hint;
  /** Bytes as stored and the time of the last change, now. */
  stat(): Promise<{ storedBytes: number; modifiedMs: number }>;
  /** Its state now. Two equal states say that nothing was written in between, unless they are very young. */
  seen(): Promise<Seen>;
  close(): Promise<void>;
}

/** The state of a file. Times in nanoseconds, as text, because they are more than a double holds. */
export interface Seen {
  readonly inode: string;
  readonly device: string;
  /** When it was made, which tells two files apart that had the same inode one after the other; 0 where the file system does not know. */
  readonly bornNs: string;
  readonly bytes: number;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

export interface Hint extends Seen {
  /** Where it was seen, in base64. */
  readonly path: string;
}

const seenIn = (found: BigIntStats): Seen => ({
  inode: String(found.ino),
  device: String(found.dev),
  bornNs: String(found.birthtimeNs),
  bytes: Number(found.size),
  modifiedNs: String(found.mtimeNs),
  changedNs: String(found.ctimeNs),
});

const byErrno: Readonly<Record<string, readonly [Code, string]>> = {
  ENOENT: ['file_missing', 'does not exist'],
  ENOTDIR: ['file_missing', 'does not exist: a part of its path is not a folder'],
  EACCES: ['file_forbidden', 'may not be read by this worker'],
  EPERM: ['file_forbidden', 'may not be read by this worker'],
  ELOOP: ['file_not_regular', 'is a link that leads back to itself'],
  EISDIR: ['file_not_regular', 'is a folder'],
  ENXIO: ['file_not_regular', 'is a pipe or a device'],
};

/** An error of the file system as a coded one; what is not about the path is left as it is, for its errno says all. */
export function fileFault(cause: unknown, name: string): unknown {
  const known = byErrno[String((cause as { code?: unknown }).code)];
  if (known === undefined) return cause;
  const [code, what] = known;
  return new CodedError(code, `${name} ${what}. Nothing of it was loaded; put it right and retry.`, { cause });
}

/** Bytes of a name as text that shows every byte: two different names never look the same. */
export function displayName(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('utf8');
  // A round trip that changes nothing proves the bytes were UTF-8; otherwise each byte that is not ASCII is shown by itself.
  const whole = Buffer.from(text).equals(bytes);
  const shown = whole ? text : Buffer.from(bytes).toString('latin1');
  return shown.replace(whole ? /[\\\p{Cc}]/gu : /[\\\p{Cc}\u0080-\u00ff]/gu, (found) =>
    found === '\\' ? '\\\\' : `\\x${found.codePointAt(0)!.toString(16).padStart(2, '0')}`,
  );
}

export const pathOf = (ref: FileRef): Buffer => Buffer.from(ref.path, 'base64');
export const refOf = (name: Uint8Array, path: Buffer): FileRef => ({
  name: displayName(name),
  path: path.toString('base64'),
});

/**
 * The regular files of a folder, sorted by the bytes of their names, or the one file that `path` is. Folders inside are not entered.
 * Links to files count as files; a link that leads nowhere is listed, so that its own stage can say so. Folders, links to them, pipes,
 * sockets and devices are left out and told to `onLeftOut`. Throws `file_missing`, `file_forbidden`, `file_not_regular`.
 */
export async function listFiles(
  path: string,
  onLeftOut: (name: string, kind: 'folder' | 'other') => void = () => undefined,
): Promise<FileRef[]> {
  const root = resolve(path);
  try {
    const found = await stat(root);
    if (found.isFile()) return [refOf(Buffer.from(basename(root)), Buffer.from(root))];
    if (!found.isDirectory()) throw Object.assign(new Error(root), { code: 'ENXIO' });
    const entries = await readdir(root, { encoding: 'buffer', withFileTypes: true });
    const files: { name: Buffer; path: Buffer }[] = [];
    for (const entry of entries) {
      const name = Buffer.from(entry.name);
      const full = Buffer.concat([Buffer.from(root === '/' ? '/' : `${root}/`), name]);
      const kind = entry.isSymbolicLink() ? await whereTo(full) : kindOfEntry(entry);
      if (kind === 'file') files.push({ name, path: full });
      else onLeftOut(displayName(name), kind);
    }
    return files.toSorted((a, b) => Buffer.compare(a.name, b.name)).map((file) => refOf(file.name, file.path));
  } catch (cause) {
    throw fileFault(cause, displayName(Buffer.from(root)));
  }
}

type Kind = 'file' | 'folder' | 'other';
const kindOfEntry = (found: { isFile(): boolean; isDirectory(): boolean }): Kind =>
  found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';

/** What a link leads to. One that leads to nothing counts as a file: it is somebody's mistake, which must not vanish from the list. */
async function whereTo(path: Buffer): Promise<Kind> {
  try {
    return kindOfEntry(await stat(path));
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EACCES')
      return (await lstat(path)).isSymbolicLink() ? 'file' : 'other';
    throw error;
  }
}

/** Suffix that compressing adds to a name. It says nothing about the bytes; without it the name is that of the log. */
const GZIP_SUFFIX = Buffer.from('.gz');
const hasSuffix = (path: Buffer): boolean => path.subarray(-GZIP_SUFFIX.length).equals(GZIP_SUFFIX);

/** The name by which the ledger knows a listed file, whether the file is still there or not. */
export function sourceNameOf(ref: FileRef): Buffer {
  const path = pathOf(ref);
  return path.subarray(path[0] === 47 ? 1 : 0, hasSuffix(path) ? path.length - GZIP_SUFFIX.length : path.length);
}

/** Opens a listed file. Throws `file_vanished` if it is gone since, `file_forbidden`, `file_not_regular`, `file_not_text`. */
export async function openFile(ref: FileRef): Promise<OpenFile> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a pipe that nobody writes to would hang until the attempt's end.
    handle = await open(pathOf(ref), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'ENOENT') throw fileFault(cause, ref.name);
    const text = `${ref.name} was listed and is gone now. What of it was committed stays; put it back and retry, or skip the file.`;
    throw new CodedError('file_vanished', text, { cause });
  }
  try {
    return await opened(ref, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function opened(ref: FileRef, handle: FileHandle): Promise<OpenFile> {
  const found = await handle.stat({ bigint: true });
  if (!found.isFile()) throw fileFault({ code: found.isDirectory() ? 'EISDIR' : 'ENXIO' }, ref.name);
  const storedBytes = Number(found.size);
  const modifiedMs = Number(found.mtimeMs);
  return {
    ref,
    fd: handle.fd,
    codec: await codecOf(ref, handle),
    storedBytes,
    modifiedMs,
    sourceName: sourceNameOf(ref),
    hint: { ...seenIn(found), path: ref.path },
    seen: async () => seenIn(await handle.stat({ bigint: true })),
    async stat() {
      const now = await handle.stat();
      return { storedBytes: now.size, modifiedMs: now.mtimeMs };
    },
    close: () => handle.close(),
  };
}

/** How the file is stored, by its first bytes. Throws `file_not_text` for what cannot be read record by record. */
async function codecOf(ref: FileRef, handle: FileHandle): Promise<Codec> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(KIND_BYTES), 0, KIND_BYTES, 0);
  const kind = kindOf(buffer.subarray(0, bytesRead));
  if ('codec' in kind) return kind.codec;
  throw new CodedError(
    'file_not_text',
    `${ref.name} is ${kind.what}; what can be read is text in UTF-8, plain or as gzip. Nothing of it was loaded. ${kind.remedy} and retry, or skip the file.`,
  );
}
