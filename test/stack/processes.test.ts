// What lives here: what only processes of their own can show: locks of the dead, an `up` that was killed, another user.
// Invariant: a kill -9 at any moment blocks nobody, and an ordinary user needs nothing that root has.
// Apart from life.test.ts because these start the stack from outside.
import { spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { findTemporalCli, stackDown, stackStatus } from '../../src/stack/index.ts';
import { canReach } from '../../src/stack/postgres/user.ts';
import { isAlive, startDetached, startOf, type RunAs } from '../../src/stack/system/process.ts';

const repository = join(import.meta.dirname, '..', '..');
const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache');
const folders: string[] = [];

const newFolder = (name: string): string => {
  const root = mkdtempSync(join(tmpdir(), 'mendflow-procs-'));
  chmodSync(root, 0o755);
  const dir = join(root, name);
  mkdirSync(dir);
  folders.push(dir);
  return dir;
};

afterEach(async () => {
  for (const dir of folders.splice(0)) {
    await stackDown({ dir });
    rmSync(join(dir, '..'), { recursive: true, force: true });
  }
});

const start = (script: string, args: readonly string[], as?: RunAs): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'fixtures', script), ...args], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...as,
  });

const finished = (child: ChildProcess): Promise<{ code: number | null; output: string }> =>
  new Promise((resolve) => {
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (part: Buffer) => (output += part.toString()));
    child.once('close', (code) => resolve({ code, output: output.trim() }));
  });

test('the lock lets one in at a time, and a holder killed with kill -9 blocks nobody', async () => {
  const dir = newFolder('lock');
  writeFileSync(join(dir, 'number'), '0');
  const ended = await Promise.all([
    finished(start('count.ts', [dir, '30'])),
    finished(start('count.ts', [dir, '30', '11'])),
    finished(start('count.ts', [dir, '30'])),
  ]);
  expect(ended.map((one) => one.code)).toEqual([0, null, 0]);
  expect(readFileSync(join(dir, 'number'), 'utf8')).toBe('70');
});

test('a program that ends before anybody can look at it is one that has ended, and no error of its own', async () => {
  const dir = newFolder('at once');
  // A busy machine looks late; here the event loop is held up instead.
  const looks = Array.from({ length: 20 }, async () => {
    const started = startDetached('/bin/false', [], { cwd: dir, env: {}, logFile: join(dir, 'log') });
    for (const end = Date.now() + 20; Date.now() < end;);
    return await started;
  });
  const ids = await Promise.all(looks);
  await expect.poll(() => ids.filter(isAlive), { timeout: 20_000 }).toEqual([]);
});

test.each([150, 700, 1500])(
  'an up that was killed %i ms after its first word is repaired by the next',
  async (afterMs) => {
    const dir = newFolder('killed up');
    const first = start('stack.ts', ['up', dir, cacheDir]);
    // The lock's folder is the first thing that it makes; before that there is nothing to repair.
    while ((await finishedOrMade(first, join(dir, 'stack.lock', '1'))) === 'waiting') await sleep(5);
    await sleep(afterMs);
    first.kill('SIGKILL');
    const second = await finished(start('stack.ts', ['up', dir, cacheDir]));
    expect(second.output).toContain('"state":"up"');
    expect(second.code).toBe(0);
  },
);

const finishedOrMade = async (child: ChildProcess, file: string): Promise<'waiting' | 'over'> => {
  if (child.exitCode !== null) return 'over';
  try {
    readlinkSync(file);
    return 'over';
  } catch {
    return Promise.resolve('waiting'); // Not made yet.
  }
};

test('an ordinary user brings up, sees and ends a stack, with packages that only root may write', async ({ skip }) => {
  if (process.getuid?.() !== 0) skip('This run is no root, so every other test of the stack has shown this already.');
  const nobody: RunAs = { uid: 65_534, gid: 65_534 };
  const cli = await findTemporalCli({ explicit: process.env['TEMPORAL_CLI'], cacheDir });
  for (const needed of [
    join(repository, 'src', 'stack'),
    join(repository, 'node_modules'),
    process.execPath,
    cli.path,
  ]) {
    if (!(await canReach(nobody, needed)))
      skip(`An ordinary user cannot reach ${needed}: move the checkout out of a closed folder to run this.`);
  }
  const dir = newFolder('of nobody');
  chownSync(dir, nobody.uid, nobody.gid);
  // An empty cache of its own: programs are copied there when they cannot run in place.
  const args = [dir, join(dir, 'cache'), cli.path];
  const up = JSON.parse((await finished(start('stack.ts', ['up', ...args], nobody))).output) as Record<string, unknown>;
  expect(up).toMatchObject({ uid: nobody.uid, state: 'up' });
  const owner = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${Number(up['postgresPid'])}/status`, 'utf8'))?.[1];
  expect(owner).toBe(String(nobody.uid));
  const down = JSON.parse((await finished(start('stack.ts', ['down', ...args], nobody))).output) as Record<
    string,
    unknown
  >;
  expect(down).toMatchObject({ state: 'down', ended: 2 });
  expect(startOf(Number(up['postgresPid']))).toBeUndefined();
  expect((await stackStatus({ dir })).state).toBe('down');
});
