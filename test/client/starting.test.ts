// What is promised here: while a stack is being brought up or ended nobody is told to bring it up or to migrate, and a worker of `mendflow dev` is nobody's stray.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { leftBehind } from '../../src/commands/support/wait.ts';
import { devsOf, openDevBook, startOf } from '../../src/stack/index.ts';
import { writeStack } from '../../src/stack/state.ts';
import { withLock } from '../../src/stack/system/lock.ts';
import { mendflow, projectFolder, type Ran } from '../support/client.ts';
import { freshDatabase } from '../support/database.ts';

const dir = mkdtempSync(join(tmpdir(), 'mendflow-starting-'));
const before = { ...process.env };
const given = ['DATABASE_URL', 'TEMPORAL_ADDRESS'];
beforeAll(() => {
  for (const name of given) delete process.env[name];
  process.env['MENDFLOW_DIR'] = dir;
});
afterEach(() => {
  delete process.env['DATABASE_URL'];
});
afterAll(() => {
  for (const name of [...given, 'MENDFLOW_DIR']) {
    delete process.env[name];
    if (before[name] !== undefined) process.env[name] = before[name];
  }
  rmSync(dir, { recursive: true, force: true });
});

const reading = [
  ['runs'],
  ['upstreams'],
  ['last-night'],
  ['letters', 'list'],
  ['show', 'copy'],
  ['logs', 'copy'],
  ['breakers', 'list'],
  ['views'],
  ['retry', 'copy', '--reason', 'x'],
  ['start', 'copy', '--set', 'path=a', '--set', 'format=plain'],
  ['migrate'],
];
const ran = (argv: readonly string[]): Promise<Ran> => mendflow(argv, projectFolder);
/** As `stack up`, `dev` and the keeper hold it, and `stack down`. */
const during = <T>(doing: 'up' | 'down', work: () => Promise<T>): Promise<T> => withLock(dir, 'stack', work, { doing });
const wrongAdvice = /stack up|migrate\b.*Run|Start it|Start one with/;

describe('while the stack is being brought up', () => {
  it.each(reading)('%s %s says so, and to try again', async (...argv) => {
    const { code, err } = await during('up', () => ran(argv));
    // What a project declares is shown all the same.
    expect(code === 0).toBe(argv[0] === 'upstreams');
    expect(err).toContain(`The stack in ${dir} is just being brought up by process ${process.pid}.`);
    expect(err).toContain('Try again in a moment.');
    expect(err).not.toMatch(wrongAdvice);
  });

  it('and its database answers but has no tables yet, too', async () => {
    const database = await freshDatabase();
    process.env['DATABASE_URL'] = database.url;
    try {
      const { err } = await during('up', () => ran(['runs']));
      expect(err).toContain('is just being brought up');
      expect(err).not.toMatch(wrongAdvice);
      expect((await ran(['runs'])).err).toContain('Run: npx mendflow migrate');
    } finally {
      await database.drop();
    }
  });

  it('doctor and stack status say so', async () => {
    const { out } = await during('up', () => ran(['doctor']));
    expect(out).toContain(`Try again in a moment: The stack in ${dir} is just being brought up`);
    expect(out).not.toMatch(wrongAdvice);
    const status = await during('up', () => ran(['stack', 'status']));
    expect(status.out).toContain('is just being brought up');
    expect(status.out).not.toMatch(wrongAdvice);
  });
});

it('while it is being ended, that is said', async () => {
  expect((await during('down', () => ran(['runs']))).err).toContain('is just being ended by process');
});

it('and when nothing is under way, how to start it', async () => {
  expect((await ran(['runs'])).err).toContain('Start one with `mendflow stack up`');
  expect((await ran(['doctor'])).out).toContain('→ mendflow stack up');
});

it('while a worker that has ended is started again by the keeper, that is said', async () => {
  const process_ = { pid: process.pid, startedAt: startOf(process.pid)! };
  const gone = { name: 'worker-1', process: { pid: process.pid, startedAt: 'before' }, logFile: '', fingerprint: '' };
  const books = { postgres: 'own', temporal: 'own', workersWanted: 1, workers: [gone] } as const;
  writeStack(dir, { ...books, keeper: { process: process_, fingerprint: '' } });
  const starts = 'is just starting again by itself what has ended. Nothing was changed.';
  expect((await ran(['runs'])).err).toContain(starts);
  // While it does so it holds the lock, whatever it brings back.
  expect((await during('up', () => ran(['runs']))).err).toContain(starts);
  writeStack(dir, { ...books, workersWanted: 0, keeper: { process: process_, fingerprint: '' } });
  expect((await during('up', () => ran(['runs']))).err).toContain(starts);
  writeStack(dir, books);
  expect((await ran(['runs'])).err).toContain('stack up');
  rmSync(join(dir, 'stack.json'));
});

it('whoever stops waiting for a run is told that nothing works it, where no worker lives and nobody starts one', async () => {
  const process_ = { pid: process.pid, startedAt: startOf(process.pid)! };
  const gone = { name: 'worker-1', process: { pid: process.pid, startedAt: 'before' }, logFile: '', fingerprint: '' };
  const books = { postgres: 'own', temporal: 'own', workersWanted: 1, workers: [gone] } as const;
  const said = () => leftBehind({ run: 'copy/2026-06-02/a', stackDir: dir });
  writeStack(dir, books);
  expect(await said()).toMatch(
    /^No longer waiting\. copy\/2026-06-02\/a waits until a worker is started \(`mendflow stack up`\)\. The same command attaches to it again; /,
  );
  expect(await said()).not.toMatch(/by itself|stays up/);
  writeStack(dir, { ...books, keeper: { process: process_, fingerprint: '' } });
  expect(await said()).toContain('copy/2026-06-02/a goes on by itself. ');
  writeStack(dir, { ...books, workers: [{ ...gone, process: process_ }] });
  expect(await said()).toContain('copy/2026-06-02/a goes on by itself. ');
  rmSync(join(dir, 'stack.json'));
});

describe('mendflow dev', () => {
  it('is known from its first moment on, and as long as it lives', async () => {
    const book = openDevBook(dir);
    expect((await ran(['runs'])).err).toContain(`\`mendflow dev\` (process ${process.pid}) is starting here`);
    const worker = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
    book.worker(worker.pid!, false);
    expect((await ran(['runs'])).err).toContain('is starting here');
    book.worker(worker.pid!, true);
    expect(devsOf(dir)).toMatchObject([{ process: { pid: process.pid }, workers: [{ process: { pid: worker.pid } }] }]);
    expect((await ran(['runs'])).err).toContain('stack up');
    worker.kill('SIGKILL');
    await once(worker, 'close');
    expect(devsOf(dir)).toMatchObject([{ workers: [] }]);
    // It is not starting: nothing happens before a file changes.
    expect((await ran(['runs'])).err).not.toContain('is starting here');
    process.env['TEMPORAL_ADDRESS'] = inject('temporalAddress');
    try {
      const { out } = await ran(['doctor']);
      expect(out).toMatch(
        /✖ Development +`mendflow dev` \(process \d+\) runs no worker: .*\n +→ Save a file of the project/,
      );
      expect(out).toMatch(/✖ Queue mendflow +no worker polls it.*\n +→ Save a file of the project/);
      expect(out).not.toMatch(/is starting here/);
    } finally {
      delete process.env['TEMPORAL_ADDRESS'];
    }
    book.close();
    expect(devsOf(dir)).toEqual([]);
    expect(readdirSync(join(dir, 'dev'))).toEqual([]);
  });

  it('that was killed is not taken for one that lives, nor for its successor with the same number', () => {
    mkdirSync(join(dir, 'dev'), { recursive: true });
    const dead = { process: { pid: process.pid, startedAt: 'another' }, workers: [] };
    writeFileSync(join(dir, 'dev', '1.json'), JSON.stringify(dead));
    writeFileSync(join(dir, 'dev', '2.json'), '{"half');
    expect(devsOf(dir)).toEqual([]);
  });
});
