// What lives here: `npm start`: the stack, four scenes, and what the database says about them.
// Invariant: nothing is acted: every command is run, every figure is counted; without a terminal it ends with 0 and leaves no process.
// Apart from the package: it shows the house, and is not shipped with it.
import { chmodSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPool } from '../src/store/db.ts';
import { stackAddresses, stackStatus } from '../src/stack/index.ts';
import { askForTheFolder, countAsked, givenLog, type RealLog } from './story/ask.ts';
import { countQuakes } from './story/count-quakes.ts';
import { countKilled, killInTheMiddle } from './story/kill.ts';
import { healBlip, openQuakes, type Quakes, renewCredential, seeOutage } from './story/quakes.ts';
import { type At, chapter, happens, interruptCommands, mendflow, say, table } from './story/tell.ts';

const CHAPTERS = 6;
const dir = resolve(process.env['MENDFLOW_DIR'] ?? '.mendflow');
/** Its mendflow.config.js declares the demo upstream; pipelines and stages are those of the package. */
const cwd = fileURLToPath(new URL('./story/project/', import.meta.url));
const terminal = process.stdout.isTTY === true && process.stdin.isTTY === true;

async function main({ quakes, files, at }: Story, given: RealLog | undefined): Promise<boolean> {
  const since = new Date();
  say(
    'Mendflow: data pipelines that heal themselves. This story takes about a minute and a half; every command in it is real.',
  );
  chapter(1, CHAPTERS, 'A stack of its own');
  // Workers of an earlier story would call an upstream that is gone.
  if ((await stackStatus({ dir })).workers.some(({ alive }) => alive)) await mendflow(['stack', 'down'], at);
  await mendflow(['stack', 'up'], at);
  const addresses = await stackAddresses(dir);
  if (!addresses) throw new Error('The stack is up and has no addresses; see `npx mendflow stack status`.');
  const pool = openPool({ url: addresses.databaseUrl, applicationName: 'mendflow-story' });
  try {
    chapter(2, CHAPTERS, 'A file with planted poison, and a worker that is killed');
    const killed = await killInTheMiddle(pool, { ...at, files });
    chapter(3, CHAPTERS, 'A folder that is not there yet');
    const asked = await askForTheFolder({ ...at, files, given });
    chapter(4, CHAPTERS, 'An upstream that fails once, and then for a while');
    happens(`The demo upstream serves real earthquakes of a week of 2018 at ${quakes.upstream.address}.`);
    happens(
      'So that you need not wait, its breaker rests 3 s at first and 6 s at most; the package declares 2 min, and up to 15.',
    );
    const blip = await healBlip(quakes, pool, at);
    const outage = await seeOutage(quakes, pool, at);
    chapter(5, CHAPTERS, 'A credential that has expired');
    const expired = await renewCredential(quakes, pool, at);
    chapter(6, CHAPTERS, 'Counted from the database, and from the log of the upstream');
    const rows = [
      ...(await countKilled(pool, killed)),
      ...(await countAsked(pool, asked)),
      ...(await countQuakes(pool, quakes, { blip, outage, expired }, since)),
    ];
    table(rows);
    say();
    await mendflow(['last-night', '--since', since.toISOString()], at);
    say();
    if (terminal) happens(`Temporal Web UI  ${addresses.temporalUiUrl ?? 'of your own server'}`);
    happens(`Report pages     ${join(dir, 'reports')}`);
    happens(`Dead letters     npx mendflow letters list --run ${killed.run}`);
    return rows.every(([, , verdict]) => !verdict.startsWith('✖'));
  } finally {
    await pool.end();
  }
}

interface Story {
  readonly quakes: Quakes;
  readonly files: string;
  readonly at: At;
}

/** Rejects with Ctrl-C, and when nobody reads any more. */
const interruption = new Promise<never>((_resolve, reject) => {
  const interrupt = (): void => reject(new Error('Interrupted'));
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  process.stdout.on('error', interrupt);
});
interruption.catch(() => undefined); // It may come while nothing waits for it.

async function end({ at }: Story): Promise<void> {
  say();
  try {
    await mendflow(['stack', 'down'], at);
  } catch {
    process.stderr.write('The stack may still be up; end it with: npx mendflow stack down\n');
  }
}

async function lookAround(): Promise<void> {
  say('\n  The stack stays up, and the demo upstream serves until Ctrl-C. Look around in another terminal:');
  say('  npx mendflow breakers list');
  await interruption.catch(() => undefined);
  say('\n  The demo upstream has ended. The stack stays up; end it with: npx mendflow stack down');
}

async function tellStory(given: string | undefined): Promise<number> {
  const log = given === undefined ? undefined : givenLog(given);
  const files = join(dir, 'story', new Date().toISOString().replaceAll(/[:.]/g, '-'));
  mkdirSync(files, { recursive: true });
  chmodSync(files, 0o755);
  const { quakes, env } = await openQuakes(files);
  const story: Story = { quakes, files, at: { dir, cwd, env } };
  try {
    const good = await Promise.race([main(story, log), interruption]);
    if (terminal && good) await lookAround();
    else {
      if (!terminal) {
        say('\n  Nobody looks around without a terminal, so the stack is ended. Its data stays; bring it back with:');
        say('  npx mendflow stack up');
      }
      await end(story);
    }
    return good ? 0 : 1;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      said === 'Interrupted'
        ? '\nInterrupted. The stack is being ended; its data stays.\n'
        : `\nThe story broke off: ${said}\n`,
    );
    interruptCommands();
    await end(story);
    return said === 'Interrupted' ? 130 : 1;
  } finally {
    await quakes.upstream.stop();
  }
}

const [given, ...more] = process.argv.slice(2);
try {
  if (more.length > 0)
    throw new Error(`The story takes one file, and ${more.length + 1} were named. Nothing was started.`);
  // npm runs this in the checkout; a path is meant from where it was typed.
  const from = process.env['INIT_CWD'] ?? process.cwd();
  // What an interrupted scene still waits for must not keep the process.
  process.exit(await tellStory(given === undefined ? undefined : resolve(from, given)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
}
