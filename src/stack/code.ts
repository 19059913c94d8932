// What lives here: the code of a project as its files hold it now, as one short text; and which workers were started with other code.
// Invariant: two equal texts mean the same code; a file that was only touched is no other one, and neither data nor reports of a project are code.
// Apart from settings.ts because files are read here, and only of a stack that works a project of its user.
import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkerEntry } from './state.ts';
import { isAlive } from './system/process.ts';

/** More files than a project of pipelines has, and more entries than its folders have; what lies beyond is not looked at. */
const FILES_MAX = 5_000;
const ENTRIES_MAX = 50_000;
/** Of a larger file only size and time are looked at. */
const READ_BYTES_MAX = 1_000_000;

/** Outside of `src`, where everything is code. */
const isCode = /\.(?:[cm]?[jt]sx?|sql)$/;
/** They name the versions of the packages that are loaded, and say how TypeScript is read. */
const manifests = [
  'package.json',
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'tsconfig.json',
];

/** Everything below `src`, and code and SQL of other folders, but for `node_modules` and what is hidden. */
export function codeOf(folder: string): string {
  const hash = createHash('sha256');
  // What counts most comes first, or a large folder of data would hide it.
  const elsewhere = filesBelow(folder, '', (name) => !name.startsWith('src/') && isCode.test(name));
  const found = [...manifests, ...filesBelow(folder, 'src', () => true), ...elsewhere];
  for (const name of found.slice(0, FILES_MAX)) hash.update(`\0${name}\0`).update(contentOf(join(folder, name)));
  return hash.digest('hex').slice(0, 16);
}

/** Those that live and were started with other code than the files of their project hold now. */
export function olderWorkers(workers: readonly WorkerEntry[]): WorkerEntry[] {
  const now = new Map<string, string>();
  return workers.filter(({ process, code }) => {
    if (code === undefined || !isAlive(process)) return false;
    const hash = now.get(code.of) ?? codeOf(code.of);
    now.set(code.of, hash);
    return hash !== code.hash;
  });
}

/** In one order, whatever the system lists first. Links to folders are not followed: they may lead in a circle. */
function filesBelow(root: string, start: string, wanted: (name: string) => boolean): string[] {
  const found: string[] = [];
  const waiting = [start];
  let entries = 0;
  for (let below = waiting.pop(); below !== undefined && entries < ENTRIES_MAX; below = waiting.pop())
    for (const one of entriesOf(join(root, below))) {
      entries++;
      const name = below === '' ? one.name : `${below}/${one.name}`;
      if (one.isDirectory()) waiting.push(name);
      else if (wanted(name)) found.push(name);
    }
  return found;
}

/** None of a folder that is not there or cannot be read: then its worker says so. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(({ name }) => name !== 'node_modules' && !name.startsWith('.'))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}

function contentOf(file: string): string | Buffer {
  try {
    const { size, mtimeMs } = statSync(file);
    return size > READ_BYTES_MAX ? `${size} ${mtimeMs}` : readFileSync(file);
  } catch {
    return 'none';
  }
}
