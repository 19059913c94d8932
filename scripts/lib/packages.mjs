// What lives here: whether node_modules is what package-lock.json says, and `npm ci` when it is not.
// Invariant: nothing is installed that the lock file does not name, and no package runs a script of its own.
// Apart because it is the one step that everything after it needs.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, npm } from './command.mjs';

const entries = (file) => JSON.parse(readFileSync(file, 'utf8')).packages ?? {};

/** npm keeps what it installed in a hidden lock file; optional packages of other platforms are rightly not in it. */
const inPlace = (root) => {
  const hidden = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const installed = entries(hidden);
  const wanted = entries(join(root, 'package-lock.json'));
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue;
    const there = installed[path];
    if (there === undefined && !entry.optional && !entry.peer) return false;
    if (there !== undefined && (there.version !== entry.version || there.integrity !== entry.integrity)) return false;
  }
  const known = (path) => Object.hasOwn(wanted, path);
  const paths = Object.keys(installed);
  // An interrupted installation or a tidy hand leaves the list and takes folders.
  return (
    paths.every(known) &&
    paths.every((path) => installed[path].optional || existsSync(join(root, path, 'package.json')))
  );
};

export const packages = async ({ root, say, underLock }) => {
  if (inPlace(root)) return;
  await underLock(async () => {
    if (inPlace(root)) return;
    say('installing the packages of package-lock.json (npm ci).');
    // The stack needs no install script: links of the Postgres package are made by itself.
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    const done = await npm(args, { cwd: root, timeoutMs: 600_000 });
    if (done.code === 127)
      throw new SetupError('npm was not found: install npm 10 or later beside Node and try again.');
    if (done.code !== 0) {
      throw new SetupError(
        `npm ci ended with code ${done.code}: see to the network or the package registry of your npm, and try again.`,
        done.output,
      );
    }
  });
};
