// What lives here: where the Temporal command line is on this machine.
// Invariant: what is handed out was run once and answered; nothing is downloaded here (scripts/setup.mjs does that).
// Apart because the stack, `doctor` and the tests ask the same question and must get the same answer.
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../model/failure.ts';
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
    `The Temporal command line was found neither on the PATH nor in ${options.cacheDir}: run node scripts/setup.mjs, or install it and set TEMPORAL_CLI to its path.`,
  );
};
