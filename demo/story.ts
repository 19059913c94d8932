// What lives here: `npm start`: the stack, two scenes, and what the database says about them.
// Invariant: nothing is acted: every command is run, every figure is counted; without a terminal it ends with 0 and leaves no process.
// Apart from the package: it shows the house, and is not shipped with it.
import { chmodSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openPool } from '../src/store/db.ts';
import { stackAddresses } from '../src/stack/index.ts';
import { askForTheFolder, countAsked } from './story/ask.ts';
import { countKilled, killInTheMiddle } from './story/kill.ts';
import { chapter, happens, mendflow, say, table } from './story/tell.ts';

async function main(): Promise<boolean> {
  const cwd = process.cwd();
  const dir = resolve(process.env['MENDFLOW_DIR'] ?? '.mendflow');
  const files = join(dir, 'story', new Date().toISOString().replaceAll(/[:.]/g, '-'));
  mkdirSync(files, { recursive: true });
  chmodSync(files, 0o755);
  say('Mendflow: data pipelines that heal themselves. This story takes about a minute; every command in it is real.');
  chapter(1, 4, 'A stack of its own');
  const up = await mendflow(['stack', 'up'], { dir, cwd });
  if (up.exitCode !== 0) return false;
  const addresses = await stackAddresses(dir);
  if (!addresses) throw new Error('The stack is up and has no addresses; see `mendflow stack status`.');
  const pool = openPool({ url: addresses.databaseUrl, applicationName: 'mendflow-story' });
  try {
    chapter(2, 4, 'A file with planted poison, and a worker that is killed');
    const killed = await killInTheMiddle(pool, { dir, cwd, files });
    chapter(3, 4, 'A folder that is not there yet');
    const asked = await askForTheFolder({ dir, cwd, files, given: process.argv.slice(2).map((path) => resolve(path)) });
    chapter(4, 4, 'Counted from the database');
    const rows = [...(await countKilled(pool, killed)), ...(await countAsked(pool, asked))];
    table(rows);
    say();
    happens(`Temporal Web UI  ${addresses.temporalUiUrl ?? 'of your own server'}`);
    happens(`Dead letters     mendflow letters list --run ${killed.run}`);
    return rows.every(([, , verdict]) => !verdict.startsWith('✖'));
  } finally {
    await pool.end();
  }
}

async function end(good: boolean): Promise<void> {
  const at = { dir: resolve(process.env['MENDFLOW_DIR'] ?? '.mendflow'), cwd: process.cwd() };
  if (process.stdout.isTTY === true && process.stdin.isTTY === true && good) {
    say('\n  The stack stays up. Look around; `npx mendflow stack down` ends it.');
    return;
  }
  say();
  await mendflow(['stack', 'down'], at);
  process.exitCode = good ? 0 : 1;
}

await main().then(end, async (error: unknown) => {
  process.stderr.write(`\nThe story broke off: ${error instanceof Error ? error.message : String(error)}\n`);
  await end(false);
});
