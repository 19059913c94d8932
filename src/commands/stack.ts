// What lives here: `mendflow stack up|down|status` and `mendflow migrate`.
// Invariant: up twice is up once; down ends only what this folder's stack started; the worker finds the project in the folder the command was run in.
// Apart as every command: arguments, one call, output.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectFile } from '../connect.ts';
import {
  type KeeperCommand,
  leanNode,
  stackDown,
  type StackOwner,
  stackStatus,
  stackUp,
  toldBefore,
  underWay,
  type StackStatus,
  type WorkerCommand,
} from '../stack/index.ts';
import type { Exit } from './support/exit-codes.ts';
import { readWhole } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped, moment } from './support/terminal.ts';

interface Options {
  readonly workers?: string;
  readonly restart: boolean;
  readonly json?: boolean;
}

export const registerStack: Register = (program, act) => {
  const stack = program
    .command('stack')
    .summary('Postgres, Temporal and workers of this folder, in the background')
    .helpCommand(false);
  stack
    .command('up')
    .summary('bring up what is missing, and leave it running')
    .option('--workers <number>', 'how many workers; default: as many as it was told last, else 1')
    .option('--no-restart', 'do not start again what ends by itself')
    .option('--json', 'print JSON')
    .action(act((session, options: Options) => up(session, options)));
  stack
    .command('down')
    .summary('end it all; data stays')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => down(session, options.json === true)));
  stack
    .command('status')
    .summary('what runs, and where')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => status(session, options.json === true)));
  program
    .command('migrate')
    .summary('bring the database to the schema of this release')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => bringToSchema(session, options.json === true)));
};

/** The text a worker logs once it polls; see src/worker.ts. Below the level `info` it is not logged. */
const READY = 'Worker is up.';

async function up(session: Session, options: Options): Promise<Exit> {
  const { config, terminal } = session;
  const before = toldBefore(config.dir);
  const workers =
    options.workers === undefined ? (before.workers ?? 1) : readWhole('--workers', options.workers, [0, 64]);
  const project = workers === 0 ? { isRead: true, command: {} } : await projectOf(session);
  await stackUp({
    dir: config.dir,
    cacheDir: config.cacheDir,
    temporalCli: config.temporalCli,
    databaseUrl: config.databaseUrl,
    temporalAddress: config.temporal?.connectionOptions.address,
    workers,
    worker: { ...workerCommand(session), ...project.command },
    owner: ownerOf(session),
    keeper: options.restart ? keeperCommand() : undefined,
    beforeWorkers: async ({ databaseUrl }) => {
      const { migrate } = await import('../store/migrate.ts');
      await migrate(databaseUrl);
    },
    onProgress: (line) => terminal.note(line),
  });
  if (before.workers !== undefined && (before.workers !== workers || workers > 1))
    terminal.note(
      before.workers === workers ? `${workers} workers, as before.` : `Workers: ${workers}, before ${before.workers}.`,
    );
  const exit = await status(session, options.json === true);
  // Whoever deploys with this command has to hear that his code is not what works now.
  return project.isRead ? exit : 'failed';
}

/** How workers from this shell would use the upstreams, and whose files they load. Where the project cannot be read its workers tell why, and those that run stay. */
async function projectOf(
  session: Session,
): Promise<{ readonly isRead: boolean; readonly command: Pick<WorkerCommand, 'settings' | 'project'> }> {
  const [{ flat, inUse }, { isSet, secretsFrom }] = await Promise.all([
    import('../model/upstream-in-use.ts'),
    import('../connectors/secret.ts'),
  ]);
  const readSecret = secretsFrom(session.environment());
  return await session.declared().then(
    ({ upstreams }) => ({
      isRead: true,
      command: {
        settings: flat(
          Object.fromEntries(
            Object.entries(upstreams).map(([key, one]) => [key, inUse(one, (name) => isSet(readSecret, name))]),
          ),
        ),
        ...(projectFile(session.cwd) === undefined ? {} : { project: session.cwd }),
      },
    }),
    (error: unknown) => {
      session.terminal.note(
        `The project cannot be read, so workers that run go on with the code they have. See \`mendflow check\`.\n${error instanceof Error ? error.message : String(error)}`,
      );
      return { isRead: false, command: { settings: toldBefore(session.config.dir).project } };
    },
  );
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** This copy of the package, and the project of the folder the command runs in. */
export const ownerOf = ({ cwd }: Pick<Session, 'cwd'>): StackOwner => ({
  package: root.replace(/\/$/, ''),
  version: (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
  project: cwd,
});

/** From source where the command runs from source. */
const source = import.meta.url.endsWith('.ts');
const loader = source ? ['--conditions=mendflow-src', '--import', import.meta.resolve('tsx')] : [];
const programOf = (name: string): string =>
  fileURLToPath(new URL(`../${name}.${source ? 'ts' : 'js'}`, import.meta.url));

const keeperCommand = (): KeeperCommand => ({
  command: process.execPath,
  args: [...leanNode.args, ...loader, programOf('stack/keeper/main')],
});

/** The worker of this package, or from source where the command runs from source. */
export function workerCommand({
  config,
  cwd,
  environment,
}: Pick<Session, 'config' | 'cwd' | 'environment'>): WorkerCommand {
  const loud = config.logLevel === 'debug' || config.logLevel === 'info';
  return {
    command: process.execPath,
    args: [...leanNode.args, ...loader, programOf('worker')],
    env: { ...leanNode.env, ...environment(), MENDFLOW_DIR: config.dir },
    cwd,
    ...(loud ? { readyText: READY } : {}),
  };
}

async function down(session: Session, json: boolean): Promise<Exit> {
  const { config, terminal } = session;
  const ended = await stackDown({ dir: config.dir, onProgress: (line) => terminal.note(line) });
  if (json) terminal.json({ dir: config.dir, ended });
  else
    terminal.line(
      ended === 0
        ? `Nothing was running in ${config.dir}.`
        : `Ended ${ended} processes; all data is kept in ${config.dir}.`,
    );
  return 'ok';
}

async function status(session: Session, json: boolean): Promise<Exit> {
  const { config, terminal } = session;
  const found = await stackStatus({ dir: config.dir });
  if (json) terminal.json(found);
  else await write(session, found);
  return found.state === 'up' ? 'ok' : 'failed';
}

async function write({ terminal }: Session, found: StackStatus): Promise<void> {
  const { postgres, temporal, workers, suspended } = found;
  const { diskChecks } = await import('./support/disk-checks.ts');
  terminal.line(`The stack in ${escaped(found.dir)} is ${terminal.style('bold', found.state)}.`);
  const now = found.state === 'up' ? undefined : underWay(found.dir);
  if (now !== undefined) terminal.line(`  ${escaped(now)} Try again in a moment.`);
  for (const { state, says } of await diskChecks(found.dir))
    if (state !== 'ok') terminal.line(`  Disk      ${escaped(says)}.`);
  if (found.state === 'down') {
    if (now === undefined) terminal.line('  Start it with `mendflow stack up`.');
    return;
  }
  const where = (port: number | undefined, pid: number | undefined): string =>
    port === undefined ? '' : `  port ${port}, process ${pid}`;
  terminal.line(`  Postgres  ${postgres.state}${where(postgres.port, postgres.pid)}`);
  terminal.line(
    `  Temporal  ${temporal.state}${temporal.address === undefined ? '' : `  ${temporal.address}`}${temporal.pid === undefined ? '' : `, process ${temporal.pid}`}`,
  );
  if (temporal.uiUrl !== undefined) terminal.line(`  Web UI    ${temporal.uiUrl}`);
  const stateOf = ({ alive, told, pid }: StackStatus['workers'][number]): string => {
    if (!alive) return told ? 'ended' : 'gone';
    return suspended.some((one) => one.pid === pid) ? 'stopped' : told ? 'ending' : 'up';
  };
  for (const worker of workers)
    terminal.line(`  ${worker.name}  ${stateOf(worker)}  process ${worker.pid}, log ${escaped(worker.logFile)}`);
  for (const name of found.older)
    terminal.line(
      `  ${name} has older code: files of the project changed since it was started; \`mendflow stack up\` replaces it once the project can be read (\`mendflow check\`)`,
    );
  writeKeeper(terminal, found);
  for (const { what, pid } of suspended)
    terminal.line(`  ${what} stopped: process ${pid} is suspended; \`kill -CONT ${pid}\` lets it go on`);
  if (now !== undefined) return;
  if (suspended.length > 0) return;
  if (found.state === 'partly') terminal.line('  Something is missing; `mendflow stack up` repairs it.');
  // The password belongs into a variable, never on a page; this says where the variable can be read.
  else if (postgres.state === 'up' && temporal.state === 'up') terminal.line('  Next      mendflow pipelines');
}

/** What had to be started again, for how often something ends and why is what one has come to see. */
function writeKeeper(terminal: Session['terminal'], { keeper }: StackStatus): void {
  if (keeper === undefined) return;
  terminal.line(`  keeper    ${keeper.alive ? 'up' : 'gone'}  process ${keeper.pid}, starts again what ends by itself`);
  const last = keeper.repairs.at(-1);
  if (last !== undefined)
    terminal.line(
      `            started ${keeper.repairs.length} again, last ${last.what} at ${moment(new Date(last.at))}. ${escaped(last.lastWords)}`,
    );
  if (keeper.stuck !== undefined)
    terminal.line(
      `            not all came back; next try at ${moment(new Date(keeper.nextTryAt ?? 0))}: ${escaped(keeper.stuck.split('\n')[0]!)}`,
    );
}

async function bringToSchema(session: Session, json: boolean): Promise<Exit> {
  const { migrate } = await import('../store/migrate.ts');
  const names = await migrate(await session.databaseUrl());
  if (json) session.terminal.json({ ran: names });
  else
    session.terminal.line(
      names.length === 0 ? 'The database has the schema of this release already.' : `Ran ${names.join(', ')}.`,
    );
  return 'ok';
}
