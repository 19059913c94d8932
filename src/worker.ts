// What lives here: the worker process: configuration → stores → pipelines → Temporal workers, and an orderly end.
// Invariant: it polls only after the schema and the search attributes are as they have to be; SIGTERM lets the chunk in hand finish.
// Apart as the composition root: nothing else knows all the rooms.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import {
  DefaultLogger,
  type LogLevel,
  NativeConnection,
  type NativeConnectionOptions,
  Runtime,
} from '@temporalio/worker';
import { type Logger, pino } from 'pino';
import { type Config, readConfig, readSecret, threadsAreFew, THREADS } from './config.ts';
import { type Connected, connectClient, loadProject, openSink } from './connect.ts';
import { openUpstreams } from './connectors/upstream.ts';
import { pokeRecovery } from './engine/recoveries.ts';
import { bundleWorkflows, createWorkers, type Project, reconcileSearchAttributes } from './engine/worker.ts';
import { provideSink } from './flow/sink.ts';
import { migrate } from './store/migrate.ts';
import { armFailpoints } from './store/failpoint.ts';

/** So long a worker that has failed may still hold on to something. */
const STAY_MS = 5_000;

async function main(): Promise<void> {
  const config = readConfig();
  const logger = pino({ level: config.logLevel, base: { pid: process.pid } });
  Runtime.install({
    logger: new DefaultLogger(config.logLevel.toUpperCase() as LogLevel, ({ level, message, meta }) => {
      const write = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
      logger[write[level]](meta ?? {}, message);
    }),
    // Signals are handled below: the runtime's own handler would not wait for our pools.
    shutdownSignals: [],
  });
  if (threadsAreFew())
    logger.warn(
      `UV_THREADPOOL_SIZE is below ${THREADS}: a name server that hangs would stop all upstreams, not only its own. Set it in the environment of the worker.`,
    );
  armFailpoints(config.failpoints);
  const { project, own } = await loadProject(process.cwd());
  const connected = await connectClient(config, project);
  // Whatever ends this process lets go of what it holds: a connection that listens would keep it alive, polling nothing.
  const opened: (() => Promise<unknown>)[] = [() => connected.close()];
  try {
    await work({ config, logger, project, own, connected, opened });
  } finally {
    for (const close of opened.toReversed()) await Promise.allSettled([close()]);
  }
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

async function work({ config, logger, project, own, connected, opened }: Founded): Promise<void> {
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
        logger.debug({ upstream, error: error instanceof Error ? error.name : 'unknown' }, 'Recovery was not poked.'),
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
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => workers.shutdown());
  logger.info({ namespace: places.temporal.namespace }, 'Worker is up.');
  await workers.run();
}

/** The bundle that the build made, for this package's own pipelines; a user's project is bundled at start. */
async function bundleOf(workflows: URL, own: boolean): Promise<{ code: string }> {
  const built = new URL('./workflow-bundle.js', import.meta.url);
  return !own && existsSync(built) ? { code: readFileSync(built, 'utf8') } : await bundleWorkflows(workflows);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
  // A stage that would not be stopped must not keep a worker that polls nothing; what restarts workers waits for the end of this one.
  setTimeout(() => process.exit(), STAY_MS).unref();
});
