#!/usr/bin/env node
// What lives here: what `npx mendflow` runs: the command line of dist/, or one sentence that says how to build it.
// Invariant: this file is in the repository with its mode, because npx links a command and makes it executable once, at its first call, built or not.
// Apart from src/ because it has to be there before there is a build.
import { existsSync } from 'node:fs';

const client = new URL('../dist/client.js', import.meta.url);
if (existsSync(client)) await import(client.href);
else {
  process.stderr.write('Mendflow is not built in this checkout; nothing was done. Build it with `npm run build`.\n');
  // The number for usage in src/commands/support/exit-codes.ts, which may not be built either.
  process.exitCode = 2;
}
