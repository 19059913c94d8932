// What lives here: the set-up that `npm start` and `npm test` run first: Node, packages, Temporal command line, build.
// Invariant: Node built-ins only; when everything is in place it prints nothing and changes nothing; what is missing gets one sentence.
// Apart from src/ because it has to run before there are packages or a build.
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `Mendflow needs Node 20.19 or later and this is Node ${process.versions.node}: install a newer Node and try again.\n`,
  );
  process.exit(1);
}

const startedMs = Date.now();
let said = 0;
const say = (line) => {
  said += 1;
  process.stdout.write(`set-up: ${line}\n`);
};

try {
  const { underLock } = await import('./lib/lock.mjs');
  const { packages } = await import('./lib/packages.mjs');
  const { temporalCli } = await import('./lib/temporal-cli.mjs');
  const { build } = await import('./lib/build.mjs');
  const cache = resolve(process.env.MENDFLOW_CACHE || join(root, '.mendflow', 'cache'));
  const work = join(root, '.mendflow');
  await packages({ root, say, underLock: (fn) => underLock(work, fn) });
  await temporalCli({ root, cache, say, underLock: (fn) => underLock(cache, fn) });
  await build({ root, say, underLock: (fn) => underLock(work, fn) });
  if (said > 0) say(`done in ${((Date.now() - startedMs) / 1000).toFixed(1)} s.`);
} catch (error) {
  if (error.name !== 'SetupError') throw error;
  process.stderr.write(`set-up: ${error.message}\n`);
  process.exitCode = 1;
}
