// What is promised here: a stack comes back by itself, works with the code of one project only, and leaves no worker that nobody knows, however a command ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftBehind, tellServers } from '../../src/commands/support/dev-servers.ts';
import { readConfig } from '../../src/config.ts';
import { stackStatus, type StackStatus } from '../../src/stack/index.ts';
import { withLock } from '../../src/stack/system/lock.ts';

const repository = join(import.meta.dirname, '..', '..');
const home = mkdtempSync(join(tmpdir(), 'mendflow kept '));
const dir = join(home, '.mendflow');
chmodSync(home, 0o755); // As root Postgres runs as another user, who has to get in.

interface At {
  readonly cwd?: string;
  readonly root?: string;
  readonly env?: Readonly<Record<string, string>>;
}
const begin = (argv: readonly string[], at: At = {}): ChildProcess => {
  const { MENDFLOW_CACHE = join(repository, '.mendflow', 'cache'), TEMPORAL_CLI, PATH } = process.env;
  return spawn(process.execPath, [join(at.root ?? repository, 'dist', 'client.js'), ...argv], {
    cwd: at.cwd ?? home,
    env: {
      PATH,
      MENDFLOW_DIR: dir,
      MENDFLOW_CACHE,
      ...(TEMPORAL_CLI === undefined ? {} : { TEMPORAL_CLI }),
      ...at.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
};
const mendflow = async (argv: readonly string[], at: At = {}) => {
  const child = begin(argv, at);
  let [out, err] = ['', ''];
  child.stdout!.on('data', (part: Buffer) => (out += part.toString()));
  child.stderr!.on('data', (part: Buffer) => (err += part.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
};
/** Asked here: what waits for a state asks many times, and a process costs more than the answer. */
const status = (): Promise<StackStatus> => stackStatus({ dir });

/** Programs of this folder's stack, by the environment that they were given. */
const programs = (name: string): number[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      const its = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
      return /^\d+$/.test(pid) && its('cmdline').includes(name) && its('environ').includes(`MENDFLOW_DIR=${dir}\0`)
        ? [Number(pid)]
        : [];
    } catch {
      return []; // Ended while we looked.
    }
  });
const workers = (): number[] => programs('dist/worker.js');

beforeAll(async () => {
  const up = await mendflow(['stack', 'up']);
  expect(up, up.err).toMatchObject({ code: 0 });
}, 180_000);
const ended = new AbortController();
afterAll(async () => {
  ended.abort();
  await mendflow(['stack', 'down']);
  rmSync(home, { recursive: true, force: true });
}, 120_000);

describe.skipIf(process.platform !== 'linux')('a stack that is kept', { timeout: 180_000 }, () => {
  it('brings back by itself what was killed, all at once, and says what it was', async () => {
    const before = await status();
    const pids = [before.postgres.pid, before.temporal.pid, before.workers[0]?.pid].map(Number);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    const back = async () => {
      const now = await status();
      return (
        now.state === 'up' &&
        ![now.postgres.pid, now.temporal.pid, now.workers[0]?.pid].some((pid) => pids.includes(pid!))
      );
    };
    await expect.poll(back, { timeout: 120_000, interval: 500 }).toBe(true);
    expect((await status()).keeper!.repairs.map(({ what }) => what).toSorted()).toEqual([
      'Postgres',
      'Temporal',
      'worker-1',
    ]);
    expect((await mendflow(['stack', 'status'])).out).toMatch(
      /keeper {4}up .*\n {12}started 3 again, last worker-1 at .*\. It left no message: it was killed, or ended without one\.\n/,
    );
    expect(workers()).toEqual((await status()).workers.map(({ pid }) => pid));
  });

  it('has a doctor that tells what ended, and which worker nobody here started', async () => {
    const [own] = workers();
    const stray = spawn(process.execPath, [join(repository, 'dist', 'worker.js')], {
      cwd: home,
      env: { PATH: process.env['PATH'], MENDFLOW_DIR: dir, UV_THREADPOOL_SIZE: '64' },
      stdio: 'ignore',
    });
    try {
      const checks = async () => {
        const { out } = await mendflow(['doctor', '--json']);
        return (JSON.parse(out) as { checks: { name: string; says: string; mend?: string }[] }).checks;
      };
      await expect.poll(checks, { timeout: 60_000, interval: 500 }).toContainEqual(
        // Workers of other stacks that were here at this address before may be named as well.
        expect.objectContaining({
          name: 'Other workers',
          mend: expect.stringMatching(RegExp(`^kill .*\\b${stray.pid}\\b`)) as string,
        }),
      );
      expect(await checks()).toContainEqual(
        expect.objectContaining({ name: 'Keeper', says: expect.stringMatching(/^3 ended by themselves/) as string }),
      );
      expect(workers()).toContain(own);
    } finally {
      stray.kill('SIGKILL');
    }
  });

  it('says that a worker is suspended, and what lets it go on', async () => {
    const [own] = workers();
    const argv = ['--date', '2026-11-20', '--set', `path=${join(home, 'no-such-folder')}`, '--set', 'format=plain'];
    expect(await mendflow(['start', 'log-ingest', ...argv, '--wait'])).toMatchObject({ code: 3 });
    expect((await mendflow(['show', 'log-ingest'])).out).not.toContain('suspended');
    process.kill(own!, 'SIGSTOP');
    try {
      expect((await mendflow(['show', 'log-ingest'])).out).toContain(
        `\n  workers  worker-1 (process ${own}) is suspended; until it goes on, this run does not.\n           kill -CONT ${own}\n`,
      );
      expect(await mendflow(['stack', 'status'])).toMatchObject({
        code: 1,
        out: expect.stringContaining(
          `  worker-1 stopped: process ${own} is suspended; \`kill -CONT ${own}\` lets it go on\n`,
        ) as string,
      });
      const { checks } = JSON.parse((await mendflow(['doctor', '--json'])).out) as { checks: { name: string }[] };
      const wrong = { state: 'wrong', mend: `kill -CONT ${own}` };
      expect(checks).toContainEqual({
        ...wrong,
        name: 'Stack folder',
        says: `${dir}: worker-1 stopped: process ${own} is suspended`,
      });
      expect(checks).toContainEqual({
        ...wrong,
        name: 'Queue mendflow',
        says: 'no worker polls it for stages; runs wait',
      });
    } finally {
      process.kill(own!, 'SIGCONT');
    }
    expect((await status()).state).toBe('up');
  });

  it('refuses to work with the code of another project, or of another copy of the package', async () => {
    const before = await status();
    const elsewhere = join(home, 'elsewhere');
    mkdirSync(elsewhere);
    const copy = join(home, 'copy');
    for (const part of ['dist', 'migrations', 'package.json'])
      cpSync(join(repository, part), join(copy, part), { recursive: true });
    symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
    for (const at of [{ cwd: elsewhere }, { root: copy }]) {
      const refused = await mendflow(['stack', 'up', '--workers', '2'], at);
      expect(refused.code).not.toBe(0);
      expect(refused.err).toMatch(
        /has 1 worker of the project in .* with the package in .*\. This command is of .*\. Nothing was started or ended\. .*`mendflow stack down`/,
      );
    }
    expect((await status()).workers).toEqual(before.workers);
    expect(workers()).toHaveLength(1);
  });

  it('is whole again after its keeper was killed', async () => {
    const { keeper } = await status();
    process.kill(keeper!.pid, 'SIGKILL');
    await expect.poll(async () => (await status()).state, { timeout: 20_000 }).toBe('partly');
    // While somebody repairs it, nobody has to, and there is nothing to go on with yet.
    const meanwhile = await withLock(dir, 'stack', () => mendflow(['stack', 'status']), { doing: 'up' });
    expect(meanwhile.out).toContain('is just being brought up');
    expect(meanwhile.out).not.toMatch(/mendflow pipelines|stack up/);
    expect(await mendflow(['stack', 'up'])).toMatchObject({ code: 0 });
    expect((await status()).keeper).toMatchObject({ alive: true });
    expect(programs('keeper/main.js')).toHaveLength(1);
  });

  it('replaces a worker whose project has other files than when it was started, and names one', async () => {
    const config = join(home, 'mendflow.config.ts');
    writeFileSync(join(home, 'package.json'), '{ "type": "module" }');
    writeFileSync(config, 'export default { formats: {} };');
    const [before] = workers();
    expect((await mendflow(['stack', 'up'])).err).toMatch(
      /^Files of the project changed since worker-1 was started: /m,
    );
    const [after] = workers();
    expect(after).not.toBe(before);
    expect((await mendflow(['stack', 'up'])).err).not.toContain('Files of the project');
    expect(workers()).toEqual([after]);
    writeFileSync(config, '// Corrected.\nexport default { formats: {} };');
    expect(await mendflow(['stack', 'status'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('\n  worker-1 has older code: files of the project changed since') as string,
    });
    expect((await mendflow(['doctor'])).out).toMatch(
      /• Code of workers .* since worker-1 was started, so it works with the code of before\n +→ mendflow stack up\n/,
    );
    writeFileSync(config, 'export default {');
    expect(await mendflow(['stack', 'up'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('The project cannot be read, so workers that run go on') as string,
    });
    expect(workers()).toEqual([after]);
    rmSync(config);
  });

  it('is as large again after all of it was lost, and says which settings are others than before', async () => {
    expect(await mendflow(['stack', 'up', '--workers', '2'])).toMatchObject({ code: 0 });
    const { keeper, postgres, temporal, workers: two } = await status();
    // As a `mendflow dev` over it tells it.
    const said: string[] = [];
    const config = readConfig({ MENDFLOW_DIR: dir });
    void tellServers({ config, signal: ended.signal }, (line) => said.push(line));
    expect(await leftBehind(config)).toContain('the stack stays up');
    // The keeper first, as all at once when a machine stops: or it would have time to bring something back.
    for (const pid of [keeper!.pid, ...two.map((one) => one.pid), postgres.pid!, temporal.pid!])
      process.kill(pid, 'SIGKILL');
    await expect.poll(async () => (await status()).state, { timeout: 20_000 }).toBe('down');
    await expect
      .poll(() => said.at(-1), { timeout: 20_000 })
      .toMatch(/^Postgres and Temporal of .* were killed; .*`mendflow stack up/);
    expect(await leftBehind(config)).toMatch(/Postgres and Temporal of the stack do not run\..*`mendflow dev` brings/);
    const up = await mendflow(['stack', 'up'], { env: { MENDFLOW_MAIN_API: 'http://anna:canary@127.0.0.1:9/moved' } });
    expect(up, up.err).toMatchObject({ code: 0 });
    expect(up.err).toMatch(
      /^Workers get other settings than those started last: MENDFLOW_MAIN_API \(not set before\), http:main_api address \(http:\/\/…@127\.0\.0\.1:9\/moved, before .*\)/m,
    );
    expect(up.err).toContain('2 workers, as before.');
    expect((await mendflow(['last-night'])).out).toMatch(
      /^ {2}down {6}The stack was down from about \S+ \S+Z to \S+ \S+Z, until `stack up`; 5 processes had ended\.$/m,
    );
    await expect.poll(() => said.at(-1), { timeout: 20_000 }).toMatch(/^The stack is back/);
    expect(readFileSync(join(dir, 'stack.json'), 'utf8') + up.err).not.toContain('canary');
    expect((await status()).workers.map(({ alive }) => alive)).toEqual([true, true]);
    // Told otherwise, it does so and says what was before.
    expect((await mendflow(['stack', 'up', '--workers', '1'])).err).toContain('Workers: 1, before 2.');
  });

  it('has a worker that finishes what it holds also when it is told to end twice', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    try {
      const asked = once(silent, 'request');
      await once(silent, 'listening');
      const env = { MENDFLOW_MAIN_API: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` };
      expect(await mendflow(['stack', 'up', '--workers', '1'], { env })).toMatchObject({ code: 0 });
      const [own] = workers();
      expect(await mendflow(['start', 'daily-report', '--date', '2018-02-01'])).toMatchObject({ code: 0 });
      await asked;
      for (let told = 0; told < 2; told++) {
        process.kill(own!, 'SIGTERM');
        await sleep(500);
      }
      expect(workers()).toContain(own);
      process.kill(own!, 'SIGKILL');
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });

  const ways: readonly (readonly [string, number, (up: ChildProcess) => void])[] = [
    ['kill -9', 0, (up) => up.kill('SIGKILL')],
    ['kill -9', 250, (up) => up.kill('SIGKILL')],
    ['Ctrl-C', 100, (up) => up.kill('SIGINT')],
    ['a terminal that is closed', 0, (up) => up.kill('SIGHUP')],
    ['a reader that has seen enough', 0, (up) => [up.stdout, up.stderr].forEach((stream) => stream!.destroy())],
  ];
  it('knows every worker, or has none, however and whenever `up` was interrupted', async () => {
    let shown = '';
    for (const [way, afterMs, interrupt] of ways) {
      // Servers stay, so that `up` comes to its workers at once.
      expect(await mendflow(['stack', 'up', '--workers', '0', '--no-restart'])).toMatchObject({ code: 0 });
      await expect.poll(workers, { timeout: 20_000 }).toEqual([]);
      shown ||= (await mendflow(['show', 'log-ingest'])).out;
      const up = begin(['stack', 'up']);
      const over = once(up, 'exit');
      let said = '';
      await new Promise<void>((resolve) => {
        up.stderr!.on('data', (part: Buffer) => {
          said += part.toString();
          if (said.includes('Starting worker-1')) resolve();
        });
      });
      await sleep(afterMs);
      interrupt(up);
      await over;
      const known = async () => {
        const books = (await status()).workers.filter(({ alive }) => alive).map(({ pid }) => pid);
        return workers().every((pid) => books.includes(pid));
      };
      await expect.poll(known, { timeout: 20_000, message: `${way} after ${afterMs} ms` }).toBe(true);
    }
    expect(shown).toContain(
      '\n  workers  No worker runs here; until one does, this run does not go on.\n           mendflow stack up\n',
    );
    const said: string[] = [];
    void tellServers({ config: readConfig({ MENDFLOW_DIR: dir }), signal: ended.signal }, (line) => said.push(line));
    await mendflow(['stack', 'down']);
    await expect
      .poll(() => said.at(-1), { timeout: 20_000 })
      .toMatch(/^The stack in .* was ended by `mendflow stack down`\./);
    expect([...workers(), ...programs('keeper/main.js')]).toEqual([]);
    expect((await status()).state).toBe('down');
  });
});
