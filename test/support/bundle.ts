// What lives here: workflow code of tests, bundled once for a whole test run.
// Invariant: a bundle is made from the sources of this run and is whole before another process reads it.
// Apart because a bundle costs seconds of a processor, and twenty files that run in processes of their own want the same one.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { bundleWorkflows } from '../../src/engine/worker.ts';

const here = new Map<string, Promise<{ code: string }>>();

/** As `bundleWorkflows`; a file that was bundled in this run is read from the run's scratch folder. */
export function bundleOnce(workflows: URL): Promise<{ code: string }> {
  const found = here.get(workflows.href) ?? read(workflows);
  here.set(workflows.href, found);
  return found;
}

async function read(workflows: URL): Promise<{ code: string }> {
  const name = createHash('sha256').update(workflows.href).digest('hex').slice(0, 16);
  const kept = join(inject('scratchDir'), `bundle-${name}.js`);
  if (existsSync(kept)) return { code: readFileSync(kept, 'utf8') };
  const made = await bundleWorkflows(workflows);
  // Two that make it at once write the same; the rename keeps a third from reading half of it.
  const half = `${kept}.${process.pid}`;
  writeFileSync(half, made.code);
  renameSync(half, kept);
  return made;
}
