// What lives here: how a file of this package is started as a thread, built or from source.
// Invariant: the thread runs the same file in both cases.
// Apart because Node 20 hands no TypeScript loader on to threads, and nobody who needs a thread should have to know.
import { Worker, type WorkerOptions } from 'node:worker_threads';

const fromSource = import.meta.url.endsWith('.ts');

/**
 * Starts `<module>.js`, or `<module>.ts` where this runs from source: the thread registers the loader by itself then, for it
 * inherits none from a test runner, and Node 20 does not hand a loader from `--import` on to threads.
 */
export function startThread(module: URL, options: WorkerOptions): Worker {
  if (!fromSource) return new Worker(new URL(`${module.href}.js`), options);
  const loader = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const file = JSON.stringify(`${module.href}.ts`);
  return new Worker(`import(${loader}).then(({ register }) => { register(); return import(${file}); })`, {
    ...options,
    eval: true,
  });
}
