// What lives here: `mendflow dev`: the stack, and a worker that is replaced when a file of the project changes.
// Invariant: the worker that runs ends only after the next one is up, so a file that does not compile stops nothing; Ctrl-C ends the worker.
// Apart as every command: arguments, one call, output.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type DevBook, openDevBook, stackDown, stackUp, type StackAddresses } from '../stack/index.ts';
import { ownerOf, workerCommand } from './stack.ts';
import { leftBehind, repeatsTheLoss, tellServers } from './support/dev-servers.ts';
import { type DevWorker, startDevWorker } from './support/dev-worker.ts';
import { CommandError } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { changes } from './support/watch-files.ts';

export const registerDev: Register = (program, act) => {
  program
    .command('dev')
    .summary('the stack, and a worker that restarts when a file changes')
    .description(
      'Brings up Postgres and Temporal in the background (or uses those of DATABASE_URL and TEMPORAL_ADDRESS) and runs one worker here. When a file below src/ or mendflow.config.ts changes, a new worker replaces it; if the new one does not start, the one before goes on. Ctrl-C ends the worker and leaves the stack up, so that the next start takes a second.',
    )
    .option('--down', 'end the stack as well when this ends; all data is kept')
    .action(act(async (session, options: { down?: boolean }) => await dev(session, options.down === true)));
};

async function dev(session: Session, down: boolean): Promise<'ok'> {
  const { config, cwd, terminal, signal } = session;
  if (!existsSync(join(cwd, 'mendflow.config.ts')) && !existsSync(join(cwd, 'mendflow.config.js')))
    throw new CommandError(
      'usage',
      `${cwd} has no mendflow.config.ts, so there is nothing to run. Nothing was started. Go to the project's folder, or make one: mendflow init.`,
    );
  const book = openDevBook(config.dir);
  try {
    const addresses = await up(session);
    tellPlaces(session, addresses);
    try {
      if (!signal.aborted) await keepWorking(session, addresses, book);
    } finally {
      if (down) await stackDown({ dir: config.dir, onProgress: (line) => terminal.note(line) });
      else terminal.note(await leftBehind(config));
    }
  } finally {
    book.close();
  }
  return 'ok';
}

function tellPlaces({ config, terminal }: Session, addresses: StackAddresses): void {
  const { address, namespace } = { address: addresses.temporalAddress, namespace: config.temporal?.namespace };
  terminal.line(`Temporal  ${address}${namespace === undefined ? '' : `, namespace ${namespace}`}`);
  if (addresses.temporalUiUrl !== undefined) terminal.line(`Web UI    ${addresses.temporalUiUrl}`);
  terminal.line(`Postgres  ${withoutPassword(addresses.databaseUrl)}`);
}

/** The servers; background workers are ended, because they would work with the code of before. */
const up = ({ config, terminal, cwd }: Session): Promise<StackAddresses> =>
  stackUp({
    owner: ownerOf({ cwd }),
    dir: config.dir,
    cacheDir: config.cacheDir,
    temporalCli: config.temporalCli,
    databaseUrl: config.databaseUrl,
    temporalAddress: config.temporal?.connectionOptions.address,
    workers: 0,
    beforeWorkers: async ({ databaseUrl }) => {
      const { migrate } = await import('../store/migrate.ts');
      await migrate(databaseUrl);
    },
    onProgress: (line) => terminal.note(line),
  });

async function keepWorking(session: Session, addresses: StackAddresses, book: DevBook): Promise<void> {
  const { cwd, terminal, signal, config } = session;
  const command = workerCommand(session);
  const env = {
    ...command.env,
    MENDFLOW_STARTED_BY: `dev:${process.pid}`,
    DATABASE_URL: addresses.databaseUrl,
    // A server of one's own may need more than an address: then its TEMPORAL_* settings are in the environment already.
    ...(config.temporal ? {} : { TEMPORAL_ADDRESS: addresses.temporalAddress }),
    // Below `info` it would not say that it is up.
    ...(config.logLevel === 'debug' ? {} : { MENDFLOW_LOG: 'info' }),
  };
  const begin = (): DevWorker =>
    startDevWorker({ ...command, env }, (line) => {
      if (!repeatsTheLoss(line, config)) terminal.line(line);
    });
  const leaving: Promise<void>[] = [];
  // Once for all workers: Node warns of a leak where each start leaves a listener behind.
  const left = aborted(signal);
  let current: DevWorker | undefined;
  const replace = async (why: string): Promise<void> => {
    const startedMs = Date.now();
    const next = begin();
    if (next.pid !== undefined) book.worker(next.pid, false);
    const isUp = await Promise.race([next.up, left]);
    if (signal.aborted) return void leaving.push(next.stop());
    if (!isUp) {
      terminal.line(
        current
          ? 'The new worker did not start; the one before goes on. Change a file to try again.'
          : 'The worker did not start. Change a file to try again.',
      );
      return;
    }
    // It drains in the background: what it holds may take longer than the next change.
    if (current) leaving.push(current.stop());
    current = next;
    if (next.pid !== undefined) book.worker(next.pid, true);
    terminal.line(`${why} Worker ${next.pid} is up, after ${((Date.now() - startedMs) / 1000).toFixed(1)} s.`);
    void next.ended.then(() => {
      if (current !== next) return;
      current = undefined;
      if (!signal.aborted) terminal.line('The worker ended by itself. Change a file to start it again.');
    });
  };
  // Files are compared from before the first worker starts, or a change made while it does would be missed.
  const changed = changes([join(cwd, 'src'), join(cwd, 'mendflow.config.ts'), join(cwd, 'mendflow.config.js')], signal);
  void tellServers(session, (line) => terminal.line(line));
  await replace('Watching src/ and mendflow.config.ts; Ctrl-C ends.');
  for await (const _change of changed) await replace('Files changed.');
  if (current) leaving.push((current as DevWorker).stop());
  if (leaving.length > 0) terminal.note('Waiting for the worker to finish what it holds.');
  await Promise.all(leaving);
}

const aborted = (signal: AbortSignal): Promise<false> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(false);
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });

/** An address that a terminal may show. */
function withoutPassword(url: string): string {
  const shown = new URL(url);
  shown.password = '';
  return shown.href;
}
