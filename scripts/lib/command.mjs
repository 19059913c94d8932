// What lives here: running a command, and the error that set-up shows to people.
// Invariant: a SetupError is one sentence that says what to install or set; below it at most the last lines of what failed.
// Apart because every step of the set-up needs both.
import { spawn } from 'node:child_process';

/** Shown without a stack. `detail` is output of a command; its last lines are added. */
export class SetupError extends Error {
  constructor(message, detail = '') {
    const lines = detail.trim().split('\n').slice(-12);
    super(lines.join('') === '' ? message : `${message}\n${lines.map((line) => `    ${line}`).join('\n')}`);
    this.name = 'SetupError';
  }
}

/** Runs a command; code 127 when it is not there, 124 when it took longer than `timeoutMs` and was ended. */
export const run = (command, args, { cwd, env = process.env, timeoutMs }) =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let late = false;
    const keep = (part) => {
      output = (output + part).slice(-50_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    const end = (code) => {
      clearTimeout(timer);
      done({ code: late ? 124 : code, output });
    };
    child.once('error', (error) => end(error.code === 'ENOENT' || error.code === 'EACCES' ? 127 : 1));
    child.once('close', (code) => end(code ?? 1));
  });

/** npm as it was called, so that set-up and its caller are the same npm; else the one on the PATH. */
export const npm = (args, options) => {
  const path = process.env.npm_execpath ?? '';
  return path.endsWith('npm-cli.js') ? run(process.execPath, [path, ...args], options) : run('npm', args, options);
};
