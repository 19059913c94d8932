// What lives here: a process of its own that runs command lines and prints which packages were loaded until the end of each.
// Invariant: ES modules and CommonJS modules are both counted, however deep they were asked for.
// Apart because a test runner has loaded nearly everything already.
import Module, { register } from 'node:module';
import { MessageChannel } from 'node:worker_threads';
import type { Surroundings } from '../../src/commands/support/session.ts';

const { port1, port2 } = new MessageChannel();
const urls: string[] = [];
port1.on('message', (url: string) => urls.push(url));
port1.unref();
// Loaders run in a thread of their own, so what they see has to be sent back.
const hook = `let port;
export const initialize = ({ to }) => { port = to; };
export const load = (url, context, next) => { port.postMessage(url); return next(url, context); };`;
register(`data:text/javascript,${encodeURIComponent(hook)}`, { data: { to: port2 }, transferList: [port2] });

const { runCommandLine } = await import('../../src/commands/support/program.ts');

/** Packages by name, and Mendflow's own files. */
function loaded(): { packages: string[]; own: number } {
  const cached = Object.keys((Module as unknown as { _cache: Record<string, unknown> })._cache);
  const files = new Set([...urls.map((url) => url.replace(/^file:\/\//, '').replace(/\?.*$/, '')), ...cached]);
  const names = [...files].map((file) => {
    const at = file.lastIndexOf('/node_modules/');
    return at < 0 ? '' : /^(@[^/]+\/)?[^/]+/.exec(file.slice(at + '/node_modules/'.length))![0];
  });
  return {
    packages: [...new Set(names)].filter((name) => name !== '').sort(),
    own: [...files].filter((file) => file.includes('/src/') && !file.includes('/node_modules/')).length,
  };
}

const commands = JSON.parse(process.argv[2]!) as readonly (readonly string[])[];
const told = [];
for (const argv of commands) {
  const nothing: Surroundings['out'] = { write: () => true };
  let err = '';
  const at = { cwd: process.cwd(), out: nothing, err: { write: (text: string) => void (err += text) } };
  const code = await runCommandLine(argv, { ...at, signal: new AbortController().signal });
  // What the loaders' thread has sent is taken in by the next turns of this one.
  await new Promise((resolve) => setTimeout(resolve, 50));
  told.push({ argv: argv.join(' '), code, err, ...loaded() });
}
process.stdout.write(JSON.stringify(told));
