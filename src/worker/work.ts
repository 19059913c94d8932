// What lives here: the worker process: configuration → stores → pipelines → Temporal workers, and an orderly end.
// Invariant: it polls only after the schema and the search attributes are as they have to be; SIGTERM lets the chunk in hand finish.
// Apart as the composition root: nothing else knows all the rooms.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { NativeConnection, type NativeConnectionOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { type Config, readConfig, readSecret, threadsAreFew, THREADS } from '../config.ts';
import { type Connected, connectClient, loadProject, openSink } from '../connect.ts';
import { openUpstreams } from '../connectors/upstream.ts';
import { containStrays } from '../engine/activity/strays.ts';
import { pokeRecovery } from '../engine/recoveries.ts';
import { bundleWorkflows, createWorkers, type Project, reconcileSearchAttributes } from '../engine/worker.ts';
import { provideSink } from '../flow/sink.ts';
import { CodedError } from '../model/failure.ts';
import { CONCURRENCY } from '../model/upstream.ts';
import { toldName } from '../model/told.ts';
import { migrate } from '../store/migrate.ts';
import { armFailpoints } from '../store/failpoint.ts';
import { untilKnown, watchStarter } from './birth.ts';
import { openLog } from './log.ts';
import { filesLeft, filesNeeded, tooFewFiles, watchFiles } from './open-files.ts';
import { watchStuck } from './stuck.ts';

/** Why a worker takes no more work and ends: what restarts workers should do so. */
let fallen: string | undefined;
/** Until there is something to shut down, ending is all that can be done. */
let shutdown = (): void => {
  process.stderr.write(`This worker ended while starting. ${fallen}\n`);
  process.exit(1);
};
const fall = (why: string): void => {
  fallen ??= why;
  shutdown();
};

/** Works until it is told to end. Throws what it could not start for, and why it ended by itself. */
export async function work(): Promise<void> {
  const config = readConfig();
  const logger = openLog(config.logLevel);
  containStrays({
    tell: (text, fields) => logger.error(fields, text),
    undefinedState: () => fall('An error was thrown outside of every stage; the log names its place.'),
  });
  if (threadsAreFew())
    logger.warn(
      `UV_THREADPOOL_SIZE is below ${THREADS}: a name server that hangs would stop all upstreams, not only its own. Set it in the environment of the worker.`,
    );
  await untilKnown(config);
  armFailpoints(config.failpoints);
  // Places in code that was compiled beforehand are told as its author wrote it.
  process.setSourceMapsEnabled(true);
  const { project, own } = await loadProject(process.cwd());
  const slots = Object.values(project.upstreams ?? {}).reduce((sum, one) => sum + (one.concurrency ?? CONCURRENCY), 0);
  const needed = filesNeeded(config.slotsMax, slots);
  const left = filesLeft(needed);
  if (left < needed) throw new CodedError('files_open_max', tooFewFiles(left, needed));
  const connected = await connectClient(config, project);
  // Whatever ends this process lets go of what it holds: a connection that listens would keep it alive, polling nothing.
  const opened: (() => Promise<unknown>)[] = [() => connected.close()];
  try {
    await serveProject({ config, logger, project, own, connected, opened });
  } finally {
    for (const close of opened.toReversed()) await Promise.allSettled([close()]);
  }
  if (fallen !== undefined) throw new CodedError('worker_lost', `This worker ended by itself. ${fallen}`);
}

interface Founded {
  readonly config: Config;
  readonly logger: Logger;
  readonly project: Project;
  readonly own: boolean;
  readonly connected: Connected;
  /** How to let go of what was opened, in its order. */
  readonly opened: (() => Promise<unknown>)[];
}

async function serveProject({ config, logger, project, own, connected, opened }: Founded): Promise<void> {
  const { places } = connected;
  await migrate(places.databaseUrl);
  const added = await reconcileSearchAttributes(connected.connection, places.temporal.namespace);
  if (added.length > 0) logger.info({ added }, 'Registered search attributes.');
  const sink = openSink(config, places);
  opened.push(() => sink.pool.end());
  provideSink(sink);
  const connection = await NativeConnection.connect(places.temporal.connectionOptions as NativeConnectionOptions);
  opened.push(() => connection.close());
  const declared = project.upstreams ?? {};
  const open = await openUpstreams(declared, {
    control: connected.control,
    databaseUrl: places.databaseUrl,
    worker: `${hostname()}:${process.pid}`,
    readSecret,
    onTransition: (upstream, state) =>
      void pokeRecovery(connected.client, { prefix: config.prefix }, upstream, state).catch((error: unknown) =>
        logger.debug({ upstream, error: toldName(error) }, 'Recovery was not poked.'),
      ),
  });
  opened.push(() => open.close());
  const bundle = await bundleOf(project.workflows, own);
  const workers = await createWorkers({
    connection,
    namespace: places.temporal.namespace,
    prefix: config.prefix,
    served: project.serve(sink, open),
    upstreams: { declared, open },
    workflows: bundle,
    control: connected.control,
    ...(project.dataConverter ? { dataConverter: project.dataConverter } : {}),
    slotsMax: config.slotsMax,
    segmentMs: config.segmentMs,
    buildId: createHash('sha256').update(bundle.code).digest('hex').slice(0, 12),
  });
  shutdown = () => workers.shutdown();
  process.once('SIGINT', shutdown);
  // Told again, by an `up` after one that was interrupted, it still finishes what it holds.
  process.on('SIGTERM', shutdown);
  const stopFiles = watchFiles((spare) =>
    fall(
      `Only ${spare} more files can be opened, so new connections would fail one by one. Raise the limit of open files.`,
    ),
  );
  const stopStuck = watchStuck(config.stuckMs);
  logger.info({ namespace: places.temporal.namespace }, 'Worker is up.');
  const untie = watchStarter(config, () => {
    logger.warn(
      'The command or the folder that this worker belongs to has gone, so it finishes what it holds and ends.',
    );
    shutdown();
  });
  try {
    await workers.run();
  } finally {
    stopFiles();
    stopStuck();
    untie();
  }
}

/** The bundle that the build made, for this package's own pipelines; a user's project is bundled at start. */
async function bundleOf(workflows: URL, own: boolean): Promise<{ code: string }> {
  const built = new URL('../workflow-bundle.js', import.meta.url);
  return !own && existsSync(built) ? { code: readFileSync(built, 'utf8') } : await bundleWorkflows(workflows);
}
