// What lives here: what is in a folder and in the folders in it, listed once while nothing in them changes.
// Invariant: a listing is used again only if every folder it is made of has the times it had, and had them long enough for them to tell.
// Apart because each of many files may ask for it, and a folder of n files must not be listed n times.
import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { YOUNG_MS } from './file-proof.ts';
import type { Hint } from './files.ts';

/** A file that may hold what is looked for. */
export interface Neighbour extends Pick<Hint, 'inode' | 'device' | 'bornNs'> {
  readonly path: Buffer;
}

export interface Neighbours {
  readonly files: readonly Neighbour[];
  /** Those that are one file, under each of its names. */
  sameAs(one: Partial<Omit<Hint, 'path'>>): readonly Neighbour[];
}

interface Listing extends Neighbours {
  readonly listedAtMs: number;
  readonly folders: ReadonlyMap<Buffer, string>;
}

const LOOKED_AT_MAX = 100_000;
const FOLDERS_MAX = 20;
/** Listings kept: runs of a few folders at once. */
const LISTINGS_MAX = 8;
const listings = new Map<string, Listing>();

export const folderOf = (path: Buffer): Buffer => path.subarray(0, Math.max(1, path.lastIndexOf(47)));
const inFolder = (folder: Buffer, name: Uint8Array): Buffer =>
  Buffer.concat([folder, Buffer.from(folder.length === 1 ? '' : '/'), name]);

/** Files of a folder and of the folders in it, such as `archive/`. What cannot be listed is empty. */
export async function around(folder: Buffer): Promise<Neighbours> {
  const key = folder.toString('base64');
  const before = listings.get(key);
  if (before && (await isNow(before))) return before;
  listings.delete(key);
  const listing = await list(folder);
  listings.set(key, listing);
  for (const oldest of listings.keys()) {
    if (listings.size <= LISTINGS_MAX) break;
    listings.delete(oldest);
  }
  return listing;
}

const look = (path: Buffer): Promise<BigIntStats | undefined> => stat(path, { bigint: true }).catch(() => undefined);

async function isNow({ listedAtMs, folders }: Listing): Promise<boolean> {
  for (const [folder, changedNs] of folders) {
    const now = await look(folder);
    if (now === undefined || String(now.mtimeNs) !== changedNs) return false;
    if (listedAtMs - Number(now.mtimeMs) <= YOUNG_MS) return false;
  }
  return true;
}

const identityOf = ({ inode, device, bornNs }: Partial<Omit<Hint, 'path'>>): string => `${inode} ${device} ${bornNs}`;

async function list(root: Buffer): Promise<Listing> {
  const listedAtMs = Date.now();
  const files: Neighbour[] = [];
  const folders = new Map<Buffer, string>();
  const open = [root];
  for (let index = 0; index < open.length; index++) {
    const here = open[index]!;
    folders.set(here, String((await look(here))?.mtimeNs));
    for (const entry of await readdir(here, { encoding: 'buffer', withFileTypes: true }).catch(() => [])) {
      const path = inFolder(here, Buffer.from(entry.name));
      if (entry.isDirectory()) {
        if (index === 0 && open.length < FOLDERS_MAX) open.push(path);
        continue;
      }
      const found = files.length < LOOKED_AT_MAX ? await look(path) : undefined;
      if (!found?.isFile()) continue;
      const { ino, dev, birthtimeNs } = found;
      files.push({ path, inode: String(ino), device: String(dev), bornNs: String(birthtimeNs) });
    }
  }
  const same = new Map<string, Neighbour[]>();
  for (const file of files) {
    const key = identityOf(file);
    const names = same.get(key);
    if (names) names.push(file);
    else same.set(key, [file]);
  }
  return { listedAtMs, folders, files, sameAs: (one) => same.get(identityOf(one)) ?? [] };
}
