// What is promised here: whoever interrupts the story, in the terminal or by its process alone, is left with nothing that runs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');
const home = mkdtempSync(join(tmpdir(), 'mendflow story '));
chmodSync(home, 0o755); // As root Postgres runs as another user, who has to get in.
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Living processes of this story, by the folder that they were given. */
const living = (dir: string): string[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      const its = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
      const isOurs = /^\d+$/.test(pid) && `${its('cmdline')}${its('environ')}`.includes(dir);
      return isOurs && !/^\S+ \(.*\) Z/.test(its('stat')) ? [`${pid} ${its('cmdline').replaceAll('\0', ' ')}`] : [];
    } catch {
      return []; // Ended while we looked.
    }
  });

it.skipIf(process.platform !== 'linux').each([
  ['as Ctrl-C in a terminal does it', 'SIGINT', (pid: number) => -pid],
  ['by its own process alone', 'SIGTERM', (pid: number) => pid],
] as const)(
  'the story that is interrupted in the middle, %s, ends its stack and all it started',
  { timeout: 180_000 },
  async (_how, signal, target) => {
    const dir = join(home, signal);
    const { MENDFLOW_CACHE = join(repository, '.mendflow', 'cache'), TEMPORAL_CLI, PATH } = process.env;
    const story = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), 'demo/story.ts'], {
      cwd: repository,
      detached: true,
      env: { PATH, MENDFLOW_DIR: dir, MENDFLOW_CACHE, ...(TEMPORAL_CLI === undefined ? {} : { TEMPORAL_CLI }) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = once(story, 'close') as Promise<[number | null]>;
    let said = '';
    for (const stream of [story.stdout, story.stderr]) stream.on('data', (part: Buffer) => (said += part.toString()));
    // A worker was killed, and a command waits for the run.
    await expect.poll(() => said, { timeout: 120_000, interval: 100 }).toMatch(/kill -9 \d+[^]*attached to it/);
    expect(living(dir).length).toBeGreaterThan(3);
    process.kill(target(story.pid!), signal);
    const [code] = await closed;
    expect(said).toContain('Interrupted.');
    expect(said).not.toContain('broke off');
    expect(said).not.toContain('Start a worker by');
    expect(code, said).toBe(130);
    await expect.poll(() => living(dir), { timeout: 20_000 }).toEqual([]);
  },
);
