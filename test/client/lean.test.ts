// What is promised here: help, and the commands that read the store, load no worker, no Temporal client, no migrations and no HTTP client.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outcomes } from '../support/engine.ts';
import { type Client, openClient, projectFolder } from '../support/client.ts';

let client: Client;
beforeAll(async () => {
  client = await openClient();
  await client.engine.startWorker('./test/client/project/pipelines.ts');
  client.engine.script('fetch', outcomes('fine'));
  client.engine.script('load', outcomes('http_401'));
  const set = ['--set', 'path=a', '--set', 'format=plain'];
  expect((await client.mendflow('start', 'copy', '--date', '2026-05-01', ...set, '--wait')).code).toBe(3);
});
afterAll(() => client?.close());

interface Loaded {
  readonly argv: string;
  readonly code: number;
  readonly err: string;
  readonly packages: readonly string[];
  readonly own: number;
}

/** The command lines in one process, one after another, in a folder whose project asks for what a user's project asks for. */
async function loadedBy(commands: readonly (readonly string[])[], cwd: string): Promise<Loaded[]> {
  const probe = join(import.meta.dirname, 'loaded-modules.ts');
  const args = ['--conditions=mendflow-src', '--import', import.meta.resolve('tsx'), probe, JSON.stringify(commands)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, env: { ...process.env, ...client.env } });
  return JSON.parse(stdout) as Loaded[];
}

const heavy = [
  '@temporalio/client',
  '@temporalio/core-bridge',
  '@temporalio/proto',
  '@temporalio/worker',
  '@grpc/grpc-js',
  'node-pg-migrate',
  'pino',
  'typescript',
  'undici',
  'webpack',
  'zod',
];

const reading = [
  ['runs'],
  ['logs', 'copy/2026-05-01'],
  ['letters', 'list'],
  ['last-night'],
  ['breakers', 'list'],
  ['breakers', 'show', 'http:api'],
  ['upstreams'],
  // It waits, so its commands depend on what the project declares.
  ['show', 'copy/2026-05-01'],
  ['pipelines'],
  ['pipelines', 'show', 'copy'],
  ['explain', 'copy', 'load', '--when', 'http_503,ok'],
  ['--help'],
  ['help', 'exit-codes'],
];

describe('what a command loads', () => {
  it('is light for help and for what reads the store, also in a project of its own', async () => {
    const all = await loadedBy([...reading, ['doctor']], projectFolder);
    for (const { argv, packages, code, err } of all.slice(0, -1)) {
      expect({ argv, heavy: packages.filter((name) => heavy.includes(name)) }).toEqual({ argv, heavy: [] });
      expect({ argv, code, err: code === 0 ? '' : err }).toEqual({
        argv,
        code: argv === 'breakers show http:api' ? 6 : 0,
        err: expect.any(String) as string,
      });
    }
    // The first command alone, and everything that all of them together have loaded.
    expect(all[0]!.own).toBeLessThanOrEqual(35);
    expect(all[0]!.packages.length).toBeLessThanOrEqual(30);
    expect(all.at(-2)!.own).toBeLessThanOrEqual(140);
    // Whoever asks Temporal does load its client: the probe is not blind.
    expect(all.at(-1)!.packages).toContain('@temporalio/client');
  });

  it('is as light for the pipelines of this package, and for a project that calls an upstream', async () => {
    const commands = [['pipelines'], ['upstreams'], ['--help']];
    for (const folder of [client.dir, join(import.meta.dirname, '..', '..', 'examples', 'upstream')]) {
      const last = (await loadedBy(commands, folder)).at(-1)!;
      expect(last.packages.filter((name) => heavy.includes(name) && name !== 'zod')).toEqual([]);
    }
  });
});
