// What lives here: the life of a stack in a folder: up, status, down, killed, two at once, as another user.
// Invariant: whatever was killed, `up` brings it back with its data, and `down` leaves no process.
// Apart from servers.test.ts because every test here starts servers of its own.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import {
  stackAddresses,
  stackDown,
  stackStatus,
  stackUp,
  type StackAddresses,
  type StackStatus,
} from '../../src/stack/index.ts';
import { waitForEnd, identify } from '../../src/stack/system/process.ts';

const repository = join(import.meta.dirname, '..', '..');
const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache');
const temporalCli = process.env['TEMPORAL_CLI'];
const folders: string[] = [];

const newFolder = (name: string): string => {
  const root = mkdtempSync(join(tmpdir(), 'mendflow-life-'));
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

// Not a Temporal worker: what matters here is a process that gets its addresses, says that it is up, drains and ends.
const program = `
  console.log('got', new URL(process.env.DATABASE_URL).username, process.env.TEMPORAL_ADDRESS, 'and polls');
  process.on('SIGTERM', () => { console.log('drained'); process.exit(0); });
  setInterval(() => {}, 1000);`;
const worker = {
  command: process.execPath,
  args: ['-e', program],
  env: { PATH: '/usr/bin:/bin' },
  readyText: 'and polls',
};

const up = (dir: string, workers = 0): Promise<StackAddresses> =>
  stackUp({ dir, cacheDir, temporalCli, workers, ...(workers === 0 ? {} : { worker }) });

const query = async (url: string, statement: string): Promise<unknown[]> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
};

const pidsOf = (status: StackStatus): number[] =>
  [status.postgres.pid, status.temporal.pid, ...status.workers.map((one) => one.pid)].filter(
    (pid) => pid !== undefined,
  );

const kill = async (pid: number): Promise<void> => {
  const id = identify(pid);
  process.kill(pid, 'SIGKILL');
  if (id !== undefined) await waitForEnd(id, 5000);
};

/** Live processes whose command line names the folder. */
const processesOf = (dir: string): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return line.includes(dir) ? [line] : [];
      } catch {
        return []; // Ended while we looked.
      }
    });

describe('a stack in a folder', () => {
  test('comes up once, survives kill -9 of everything with its data, and goes down to the last process', async () => {
    const dir = newFolder('a folder with spaces');
    expect((await stackStatus({ dir })).state).toBe('down');
    const first = await up(dir, 2);
    const before = await stackStatus({ dir });
    expect(before).toMatchObject({
      state: 'up',
      postgres: { state: 'up' },
      temporal: { state: 'up' },
      workersWanted: 2,
    });
    expect(before.workers.map((one) => one.alive)).toEqual([true, true]);
    expect(readFileSync(before.workers[0]?.logFile ?? '', 'utf8')).toContain(
      `got mendflow ${first.temporalAddress} and polls`,
    );

    await query(first.databaseUrl, 'create table kept as select 42 as value');
    expect(await up(dir, 2)).toEqual(first);
    expect(pidsOf(await stackStatus({ dir }))).toEqual(pidsOf(before));

    for (const pid of pidsOf(before)) await kill(pid);
    expect((await stackStatus({ dir })).state).toBe('down');
    const again = await up(dir, 2);
    expect(again).toEqual(first); // The same addresses, so that clients find their servers again.
    expect(await query(again.databaseUrl, 'select value from kept')).toEqual([{ value: 42 }]);
    const after = await stackStatus({ dir });
    expect(after.state).toBe('up');
    expect(pidsOf(after).filter((pid) => pidsOf(before).includes(pid))).toEqual([]);

    expect(await stackDown({ dir })).toBe(4);
    expect((await stackStatus({ dir })).state).toBe('down');
    expect(readFileSync(after.workers[0]?.logFile ?? '', 'utf8')).toMatch(/drained\n$/);
    expect(processesOf(dir)).toEqual([]);
    expect(await stackDown({ dir })).toBe(0);
  });

  test('one worker killed is the only one replaced, and fewer workers are a smaller stack', async () => {
    const dir = newFolder('workers');
    await up(dir, 2);
    const before = await stackStatus({ dir });
    await kill(before.workers[0]?.pid ?? 0);
    expect((await stackStatus({ dir })).state).toBe('partly');
    await up(dir, 2);
    const pids = (await stackStatus({ dir })).workers.map((one) => one.pid);
    expect(pids).toHaveLength(2);
    expect(pids).toContain(before.workers[1]?.pid);
    expect(pids).not.toContain(before.workers[0]?.pid);
    await up(dir, 1);
    const [left] = (await stackStatus({ dir })).workers;
    // Another address of an upstream makes it another worker, wherever the project has it from.
    const said: string[] = [];
    const settings = { 'http:api address': 'http://127.0.0.1:9' };
    await stackUp({
      dir,
      cacheDir,
      temporalCli,
      workers: 1,
      worker: { ...worker, settings },
      onProgress: (line) => said.push(line),
    });
    const [replaced, ...more] = (await stackStatus({ dir })).workers;
    expect(more).toEqual([]);
    expect(replaced!.pid).not.toBe(left!.pid);
    expect(said).toContain(
      'Workers get other settings than those started last: http:api address (http://127.0.0.1:9, before none).',
    );
  });

  test('whoever is told to end has not died, also where the `up` that told it is killed', async () => {
    const dir = newFolder('told');
    const keeper = { command: process.execPath, args: [join(repository, 'dist', 'stack', 'keeper', 'main.js')] };
    // Of two that are told to end, whichever takes the work holds it until it is freed.
    const holding = `
      const fs = require('fs');
      process.once('SIGTERM', () => {
        try { fs.renameSync('work', 'held'); } catch { process.exit(0); }
        process.on('SIGTERM', () => {});
        setInterval(() => fs.existsSync('held') || process.exit(0), 50);
      });
      console.log('and polls');
      setInterval(() => {}, 1000);`;
    const options = (workers: number, ...args: string[]) => ({
      dir,
      cacheDir,
      temporalCli,
      workers,
      keeper,
      worker: { ...worker, args: ['-e', holding, ...args] },
    });
    const living = async () => (await stackStatus({ dir })).workers.filter(({ alive }) => alive);
    const untilOneHolds = async (): Promise<void> => {
      await expect.poll(async () => (await living()).length, { timeout: 30_000 }).toBe(1);
    };
    await stackUp(options(2));
    writeFileSync(join(dir, 'work'), '');
    const fewer = stackUp(options(0));
    await untilOneHolds();
    await sleep(2_500); // The keeper looks each second.
    rmSync(join(dir, 'held'));
    await fewer;
    expect((await stackStatus({ dir })).keeper).toMatchObject({ repairs: [] });

    // Other workers, by an `up` that is killed while it waits. The keeper of before finds nobody at work, and too few workers.
    await stackUp(options(2));
    writeFileSync(join(dir, 'work'), '');
    const index = JSON.stringify(join(repository, 'dist', 'stack', 'index.js'));
    const code = `import(${index}).then((stack) => stack.stackUp(${JSON.stringify(options(2, 'other'))}))`;
    const killed = spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
    await untilOneHolds();
    killed.kill('SIGKILL');
    const log = (): string => readFileSync(join(dir, 'logs', 'keeper.log'), 'utf8');
    await expect.poll(log, { timeout: 30_000 }).toContain('told to end by a command that was interrupted');
    rmSync(join(dir, 'held'));
    const free = async () => (await living()).filter(({ told }) => told === undefined).length;
    await expect.poll(free, { timeout: 30_000 }).toBe(2);
    expect((await stackStatus({ dir })).keeper).toMatchObject({ repairs: [], alive: true });
    expect(processesOf('renameSync')).toHaveLength(2);
  });

  test('workers are replaced one after another when files of their project changed, and only then', async () => {
    const dir = newFolder('code');
    const project = join(dir, '..', 'project');
    const [main, data] = [join(project, 'src', 'main.mjs'), join(project, 'data', 'orders.ndjson')];
    for (const file of [main, data]) mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(main, program);
    const said: string[] = [];
    const again = async (): Promise<StackStatus> => {
      said.length = 0;
      const ofProject = { ...worker, args: [main], project };
      await stackUp({
        dir,
        cacheDir,
        temporalCli,
        workers: 2,
        worker: ofProject,
        onProgress: (line) => said.push(line),
      });
      return await stackStatus({ dir });
    };
    const first = await again();
    writeFileSync(data, '{}');
    utimesSync(main, 1, 1);
    expect(await again()).toMatchObject({ workers: first.workers, older: [] });

    writeFileSync(main, `// Corrected.${program}`);
    expect(await stackStatus({ dir })).toMatchObject({ state: 'up', older: ['worker-1', 'worker-2'] });
    const second = await again();
    expect(said).toEqual(
      ['worker-1', 'worker-2'].map(
        (name) =>
          `Files of the project changed since ${name} was started: it finishes what it holds and is started anew.`,
      ),
    );
    expect(second).toMatchObject({ state: 'up', older: [] });
    expect(pidsOf(second).filter((pid) => pidsOf(first).includes(pid))).toHaveLength(2); // The servers.
    for (const { logFile } of second.workers)
      expect(readFileSync(logFile, 'utf8')).toMatch(/and polls\ndrained\ngot .* and polls\n$/);

    // Code that does not start costs one worker, and `up` says why; the other goes on.
    writeFileSync(main, 'throw new Error("half written");');
    await expect(again()).rejects.toThrow(/worker-1 ended while starting[^]*half written/);
    expect((await stackStatus({ dir })).workers.filter(({ alive }) => alive)).toEqual([second.workers[1]]);
  });

  test('a worker that does not come up is told with the end of its log, and the servers stay', async () => {
    const dir = newFolder('broken');
    const broken = { ...worker, args: ['-e', 'console.error("no licence file"); process.exit(3)'] };
    const trying = stackUp({ dir, cacheDir, temporalCli, workers: 1, worker: broken });
    await expect(trying).rejects.toThrow(/worker-1 ended while starting[^]*no licence file/);
    expect(await stackStatus({ dir })).toMatchObject({
      state: 'partly',
      postgres: { state: 'up' },
      temporal: { state: 'up' },
    });
    // Settings with which no worker came up are none of those before.
    const said: string[] = [];
    const withApi = async (address: string, args = worker.args): Promise<string[]> => {
      said.length = 0;
      const settings = { 'http:api address': address };
      const options = { dir, cacheDir, temporalCli, workers: 1, worker: { ...worker, args, settings } };
      await stackUp({ ...options, onProgress: (line) => said.push(line) }).catch(() => undefined);
      return said.filter((line) => line.includes('other settings'));
    };
    expect(await withApi('a')).toEqual([]);
    expect(await withApi('b', broken.args)).toHaveLength(1);
    expect(await withApi('b')).toEqual([
      'Workers get other settings than those started last: http:api address (b, before a).',
    ]);
    expect(await withApi('b')).toEqual([]);
  });

  test('two folders at once share nothing, and two ups of one folder are one stack', async () => {
    const [one, two] = [newFolder('one'), newFolder('two')];
    const [a, b, c] = await Promise.all([up(one), up(two), up(one)]);
    expect(c).toEqual(a);
    expect(b.databaseUrl).not.toBe(a.databaseUrl);
    expect(b.temporalAddress).not.toBe(a.temporalAddress);
    await stackDown({ dir: one });
    expect((await stackStatus({ dir: two })).state).toBe('up');
    expect(await stackAddresses(two)).toEqual(b);
    expect(await stackAddresses(one)).toBeUndefined();
  });

  test('a Temporal server killed while it made its database is no obstacle, and histories are for the owner only', async () => {
    const dir = newFolder('half made');
    // What such a server leaves: the mark of a first start that never answered, and a file without tables.
    writeFileSync(join(dir, 'temporal.db.making'), '');
    writeFileSync(join(dir, 'temporal.db'), '');
    await up(dir);
    expect((await stackStatus({ dir })).state).toBe('up');
    expect(readdirSync(dir)).not.toContain('temporal.db.making');
    expect(statSync(join(dir, 'temporal.db')).mode & 0o777).toBe(0o600);
  });

  test('passwords stand in one file that only its owner reads', async () => {
    const dir = newFolder('secrets');
    const { databaseUrl, adminUrl } = await up(dir, 1);
    const passwords = [databaseUrl, adminUrl].map((url) => new URL(url).password);
    const holders = readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes(join(dir, 'postgres')))
      .filter((entry) => passwords.some((one) => readFileSync(join(entry.parentPath, entry.name)).includes(one)));
    expect(holders.map((entry) => entry.name)).toEqual(['postgres.json']);
    expect(statSync(join(dir, 'postgres.json')).mode & 0o777).toBe(0o600);
    expect(processesOf(passwords[0] ?? '').concat(processesOf(passwords[1] ?? ''))).toEqual([]);
  });
});
