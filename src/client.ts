#!/usr/bin/env node
// What lives here: the entry of the command line `mendflow`.
// Invariant: it ends with a documented number, also when the reader of its output has gone; a stack trace only with MENDFLOW_LOG=debug.
// Apart from the program because only this file knows the process.
import { runCommandLine } from './commands/support/program.ts';
import { calledAs } from './config.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
// `mendflow runs | head`: whoever read has seen enough, which is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

const code = await runCommandLine(process.argv.slice(2), {
  cwd: process.cwd(),
  out: process.stdout,
  err: process.stderr,
  signal: interrupted.signal,
  called: calledAs(),
});
process.exitCode ??= code;
