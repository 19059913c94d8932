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
import { pino } from 'pino';
import { readConfig, readSecret, threadsAreFew, THREADS } from './config.ts';
import { connectClient, loadProject, openSink } from './connect.ts';
import { openUpstreams } from './connectors/upstream.ts';
import { pokeRecovery } from './engine/recoveries.ts';
import { bundleWorkflows, createWorkers, reconcileSearchAttributes } from './engine/worker.ts';
import { provideSink } from './flow/sink.ts';
import { migrate } from './store/migrate.ts';
import { armFailpoints } from './store/failpoint.ts';

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
  const { places } = connected;
  await migrate(places.databaseUrl);
  const added = await reconcileSearchAttributes(connected.connection, places.temporal.namespace);
  if (added.length > 0) logger.info({ added }, 'Registered search attributes.');
  const sink = openSink(config, places);
  provideSink(sink);
  const connection = await NativeConnection.connect(places.temporal.connectionOptions as NativeConnectionOptions);
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
  await open.close();
  await Promise.allSettled([connection.close(), connected.close(), sink.pool.end()]);
}

/** The bundle that the build made, for this package's own pipelines; a user's project is bundled at start. */
async function bundleOf(workflows: URL, own: boolean): Promise<{ code: string }> {
  const built = new URL('./workflow-bundle.js', import.meta.url);
  return !own && existsSync(built) ? { code: readFileSync(built, 'utf8') } : await bundleWorkflows(workflows);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
