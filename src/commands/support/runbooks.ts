// What lives here: where a runbook is, seen from the folder that somebody stands in.
// Invariant: a path that is printed opens from there; what is no file of this package or project stays as it was declared.
// Apart because in a checkout the runbooks are at hand, and in a project they are in the installed package.
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ownFolder = fileURLToPath(new URL('../../../', import.meta.url));

/** `ops/runbooks/files.md` in a checkout, `node_modules/mendflow/ops/runbooks/files.md` in a project; also of `mendflow/ops/runbooks/files.md`. */
export function runbookPath(cwd: string, declared: string): string {
  const named = declared.replace(/^mendflow\//, '');
  if ((named === declared && existsSync(join(cwd, declared))) || !existsSync(join(ownFolder, named))) return declared;
  const path = relative(cwd, join(ownFolder, named));
  return path.startsWith('..') || isAbsolute(path) ? join(ownFolder, named) : path;
}
