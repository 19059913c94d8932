// What lives here: putting a file in its place so that a reader sees the old one or the new one, and never half of one.
// Invariant: written and flushed beside its place first, then renamed; a crash leaves the old file.
// Apart because it is the only thing of a report that can go wrong halfway.
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hit } from '../../store/failpoint.ts';

/** Writes the file and returns its path. What attempts that died have left beside it is removed. */
export async function publish(dir: string, name: string, content: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  const path = join(dir, name);
  const draft = join(dir, `.${name}.${process.pid}.part`);
  try {
    const file = await open(draft, 'w', 0o644);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    hit('report.beforeRename');
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await removeDrafts(dir, name);
  await syncFolder(dir);
  hit('report.afterRename');
  return path;
}

/** An attempt that was replaced and still writes loses its draft, and fails at renaming it, as it should. */
async function removeDrafts(dir: string, name: string): Promise<void> {
  for (const one of await readdir(dir))
    if (one.startsWith(`.${name}.`) && one.endsWith('.part')) await rm(join(dir, one), { force: true });
}

/** The new name is on the disk only when its folder is. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
