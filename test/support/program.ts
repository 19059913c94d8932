// What lives here: TypeScript programs of tests as one JavaScript file each, made once for a whole test run.
// Invariant: a program is made from the sources of this run and is whole before another process starts it.
// Apart because a program that is killed sixty times costs more to translate than to run.
import { existsSync, renameSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildSync } from 'esbuild';
import { inject } from 'vitest';

const packages = join(import.meta.dirname, '..', '..', 'node_modules');

/** Where the program stands as JavaScript. It must not read files beside its own source. */
export function builtProgram(program: URL): string {
  const folder = inject('scratchDir');
  const built = join(folder, `${basename(program.pathname, '.ts')}.mjs`);
  if (existsSync(built)) return built;
  // Two that make it at once write the same; the rename keeps a third from starting half of it.
  const half = `${built}.${process.pid}`;
  buildSync({
    entryPoints: [program.pathname],
    outfile: half,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  if (!existsSync(join(folder, 'node_modules'))) link(join(folder, 'node_modules'));
  renameSync(half, built);
  return built;
}

const link = (to: string): void => {
  try {
    symlinkSync(packages, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
};
