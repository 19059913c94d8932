// What is promised here: a disk that is full, or nearly so, is named where one looks, with what stands still and what to do.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mendflow, projectFolder } from '../support/client.ts';

const folder = mkdtempSync(join(tmpdir(), 'mendflow-disk-'));
const before = process.env['MENDFLOW_DIR'];
beforeAll(() => {
  process.env['MENDFLOW_DIR'] = folder;
});
afterAll(() => {
  delete process.env['MENDFLOW_DIR'];
  if (before !== undefined) process.env['MENDFLOW_DIR'] = before;
  rmSync(folder, { recursive: true });
});

/** What both say of a stack folder that is a disk of this size. */
const onDisk = async (size: string): Promise<string | undefined> => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  try {
    return `${(await mendflow(['doctor'], projectFolder)).out}\n${(await mendflow(['stack', 'status'], projectFolder)).out}`;
  } finally {
    execFileSync('umount', [folder]);
  }
};

it('by doctor and stack status', async ({ skip }) => {
  const full = await onDisk('8m');
  if (full === undefined) return skip('This user may not mount a file system, so no disk can be full here.');
  expect(full).toMatch(
    /✖ Disk +\S+ is full, 8 MiB free of 8 MiB: .* no chunk is committed .*\n +→ Free space on that disk: df -h \S+\n/,
  );
  expect(full).toMatch(/\n {2}Disk {6}\S+ is full, 8 MiB free/);
  const nearly = await onDisk('200m');
  expect(nearly).toMatch(/• Disk +\S+ is nearly full, 200 MiB free of 200 MiB\./);
  expect(nearly).toMatch(/\n {2}Disk {6}\S+ is nearly full/);
  const roomy = await onDisk('2g');
  expect(roomy).toMatch(/✔ Disk +2\.0 GiB free of 2\.0 GiB\n/);
  expect(roomy!.match(/Disk/g)).toHaveLength(1);
});
