// What lives here: failures of files, processes and code, made with the disk and the kernel of this machine.
// Invariant: nothing is written but below the scene's folder and to devices that keep nothing.
// Apart because they need no socket and no database.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { link, mkdir, open, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { strictEqual } from 'node:assert';
import { join } from 'node:path';
import { runInThisContext } from 'node:vm';
import { z } from 'zod';
import type { Provocation } from './provoke.ts';

const spawned = (command: string, folder?: string): Promise<never> =>
  new Promise((_, reject) => {
    spawn(folder === undefined ? command : join(folder, command)).on('error', reject);
  });

const disk: readonly Provocation[] = [
  { what: 'file: not there', code: 'file_missing', raise: async ({ folder }) => await readFile(join(folder, 'none')) },
  {
    what: 'file: a part of the path is a file',
    code: 'file_not_regular',
    raise: async ({ folder }) => {
      writeFileSync(join(folder, 'file'), '');
      await readFile(join(folder, 'file', 'x'));
    },
  },
  { what: 'file: is a folder', code: 'file_not_regular', raise: async ({ folder }) => await readFile(folder) },
  {
    what: 'file: links in a circle',
    code: 'file_not_regular',
    raise: async ({ folder }) => {
      symlinkSync('loop', join(folder, 'loop'));
      await readFile(join(folder, 'loop'));
    },
  },
  {
    what: 'file: a name too long',
    code: 'file_not_regular',
    raise: async ({ folder }) => await readFile(join(folder, 'x'.repeat(300))),
  },
  { what: 'file: is there already', code: 'file_exists', raise: async ({ folder }) => await mkdir(folder) },
  {
    what: 'file: a folder that is not empty',
    code: 'file_exists',
    raise: async ({ folder }) => {
      mkdirSync(join(folder, 'full', 'x'), { recursive: true });
      await rmdir(join(folder, 'full'));
    },
  },
  {
    what: 'file: no space on the device',
    only: 'linux',
    code: 'disk_full',
    raise: async () => await writeFile('/dev/full', 'x'),
  },
  {
    what: 'file: the device fails to read',
    only: 'linux',
    code: 'file_io',
    raise: async () => {
      const memory = await open('/proc/self/mem');
      try {
        await memory.read(Buffer.alloc(8), 0, 8, 0);
      } finally {
        await memory.close();
      }
    },
  },
  {
    what: 'file: not permitted',
    only: 'linux',
    code: 'file_forbidden',
    raise: async ({ folder }) => await link(folder, join(folder, 'hard')),
  },
  {
    what: 'file: renamed to another disk',
    only: 'linux',
    code: 'code_bug',
    raise: async ({ folder }) => {
      writeFileSync(join(folder, 'here'), '');
      await rename(join(folder, 'here'), '/dev/shm/mendflow-classify-there');
    },
  },
  {
    what: 'file: a program that runs',
    only: 'linux',
    code: 'file_busy',
    raise: async ({ folder, defer }) => {
      const program = join(folder, 'sleep');
      copyFileSync('/bin/sleep', program);
      const child = spawn(program, ['60']);
      defer(() => child.kill('SIGKILL'));
      await once(child, 'spawn');
      await open(program, 'r+');
    },
  },
  {
    what: 'file: reading was aborted',
    code: 'cancelled',
    raise: async ({ folder }) => await readFile(folder, { signal: AbortSignal.abort() }),
  },
  {
    what: 'file: reading took longer than its signal',
    code: 'net_timeout',
    raise: async () => {
      const signal = AbortSignal.timeout(1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await readFile('/dev/zero', { signal });
    },
  },
];

const processes: readonly Provocation[] = [
  {
    what: 'process: no such command',
    code: 'command_missing',
    raise: async () => await spawned('mendflow-no-such-command'),
  },
  {
    what: 'process: may not be run',
    code: 'command_missing',
    raise: async ({ folder }) => {
      writeFileSync(join(folder, 'plain'), 'x', { mode: 0o600 });
      await spawned('plain', folder);
    },
  },
  {
    what: 'process: reads no more',
    code: 'net_reset',
    raise: async ({ defer }) => {
      const child = spawn('sh', ['-c', 'exec 0<&-; echo; exec sleep 60']);
      defer(() => child.kill('SIGKILL'));
      await once(child.stdout, 'data');
      await new Promise((_, reject) => child.stdin.on('error', reject).write('x'));
    },
  },
];

const code: readonly Provocation[] = [
  { what: 'code: not a function', code: 'code_bug', raise: () => (undefined as unknown as () => void)() },
  {
    what: 'code: a name that is not there',
    code: 'code_bug',
    raise: () => runInThisContext('nowhere') as unknown,
  },
  {
    what: 'code: out of range',
    code: 'code_bug',
    raise: () => 'x'.repeat(-1),
  },
  { what: 'code: an assertion', code: 'code_bug', raise: () => strictEqual(1, 2) },
  { what: 'code: a schema', code: 'code_bug', raise: () => z.string().parse(1) },
  { what: 'code: a wrong argument', code: 'code_bug', raise: () => Buffer.from(undefined as never) },
];

export const fileFailures: readonly Provocation[] = [...disk, ...processes, ...code];
