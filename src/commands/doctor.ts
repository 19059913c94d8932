// What lives here: `mendflow doctor`.
// Invariant: it looks at everything it can reach, whatever else is broken; each wrong line names what mends it; it changes nothing.
// Apart as every command: arguments, one call, output.
import type { CommonJsFault } from '../commonjs-fault.ts';
import { devsOf, hasLostItsWorker, stackStatus, underWay } from '../stack/index.ts';
import { openPool } from '../store/db.ts';
import type { Check } from './support/checks.ts';
import type { Exit } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped } from './support/terminal.ts';

const CONNECT_TIMEOUT_MS = 5_000;

export const registerDoctor: Register = (program, act) => {
  program
    .command('doctor')
    .summary('what is wrong here, and the command that mends it')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => doctor(session, options.json === true)));
};

async function doctor(session: Session, json: boolean): Promise<Exit> {
  const { nodeCheck, stackCheck, unknown } = await import('./support/checks.ts');
  const { diskChecks } = await import('./support/disk-checks.ts');
  const { devMend, resume } = await import('./support/idle.ts');
  const { codeChecks, keeperChecks } = await import('./support/stack-checks.ts');
  const before = underWay(session.config.dir);
  const status = await stackStatus({ dir: session.config.dir });
  const looked: Check[] = [
    nodeCheck(),
    stackCheck(session.config.dir, status),
    ...keeperChecks(status),
    ...codeChecks(status),
    ...(await diskChecks(session.config.dir)),
  ];
  try {
    const { registry } = await session.declared();
    looked.push({
      name: 'Project',
      state: 'ok',
      says: `${session.cwd}: ${registry.specs.map(({ name }) => name).join(', ')}`,
    });
  } catch (error) {
    const { cure = 'Correct mendflow.config.ts; `mendflow check` says more.' } = error as Partial<CommonJsFault>;
    looked.push(unknown('Project', error, cure));
  }
  looked.push(...(await serverChecks(session)));
  const mended =
    before !== undefined
      ? withoutHaste(before)
      : devsOf(session.config.dir).some(hasLostItsWorker)
        ? queuesBy(devMend)
        : status.suspended.length > 0
          ? queuesBy(resume(status.suspended))
          : undefined;
  const checks = mended === undefined ? looked : looked.map(mended);
  const wrong = checks.filter(({ state }) => state === 'wrong');
  if (json) session.terminal.json({ healthy: wrong.length === 0, checks });
  else write(session, checks);
  return wrong.length === 0 ? 'ok' : 'failed';
}

/** What is missing while somebody brings it up needs no command. */
const withoutHaste =
  (now: string) =>
  (one: Check): Check =>
    one.mend !== undefined && ['mendflow stack up', 'mendflow migrate'].includes(one.mend)
      ? { ...one, mend: `Try again in a moment: ${now}` }
      : one;

/** Where `stack up` is not what brings workers back: they are only suspended; or they are those of `dev`, and others would go on with the code of now. */
const queuesBy =
  (mend: string) =>
  (one: Check): Check =>
    one.name.startsWith('Queue ') && one.mend !== undefined ? { ...one, mend } : one;

async function serverChecks(session: Session): Promise<Check[]> {
  const { strayChecks } = await import('./support/stack-checks.ts');
  const { useChecks } = await import('./support/use-checks.ts');
  const { config } = session;
  const [{ Connection }, looks] = await Promise.all([import('@temporalio/client'), import('./support/checks.ts')]);
  const { breakerChecks, goneWorkers, postgresChecks, runChecks, temporalChecks, unknown, workerChecks } = looks;
  const checks: Check[] = [];
  const missing =
    (name: string, mend: string) =>
    (error: unknown): undefined =>
      void checks.push(unknown(name, error, mend));
  const mendTemporal = config.temporal ? 'Start the server, or correct TEMPORAL_ADDRESS.' : 'mendflow stack up';
  const mendPostgres =
    config.databaseUrl === undefined ? 'mendflow stack up' : 'Start the server, or correct DATABASE_URL.';
  // Each server for itself: while one is away, the other is looked at all the same.
  const place = await session.temporal().catch(missing('Temporal', mendTemporal));
  const url = await session.databaseUrl().catch(missing('Postgres', mendPostgres));
  const connection =
    place &&
    (await Connection.connect({ ...place.temporal.connectionOptions, connectTimeout: CONNECT_TIMEOUT_MS }).catch(
      missing('Temporal', mendTemporal),
    ));
  const pool = url === undefined ? undefined : openPool({ url, applicationName: 'mendflow-doctor' });
  const namespace = place?.temporal.namespace ?? 'default';
  const gone = goneWorkers(config);
  const add = async (name: string, mend: string, look: () => Promise<Check[]>): Promise<void> => {
    checks.push(...(await look().catch((error: unknown) => [unknown(name, error, mend)])));
  };
  try {
    if (connection) {
      await add('Temporal', 'mendflow stack status', () => temporalChecks(connection, namespace));
      await add('Workers', 'mendflow stack status', () => workerChecks({ connection, namespace, gone }, config.prefix));
      await add('Other workers', 'mendflow stack status', () => strayChecks(config, { connection, namespace, gone }));
    }
    if (pool) await add('Postgres', mendPostgres, () => postgresChecks(pool));
    const schema = checks.some(({ name, state }) => name === 'Schema' && state === 'ok');
    if (pool && schema) await add('Clock of a worker', 'mendflow stack status', () => looks.clockChecks(pool));
    if (pool && schema) await add('Breakers', 'mendflow stack status', () => breakerChecks(pool));
    if (pool && schema) await add('Settings differ', 'mendflow upstreams', () => useChecks(pool, config.dir));
    if (connection && pool && schema)
      await add('Runs', 'mendflow stack status', () => runChecks(pool, { connection, namespace, gone }, config.prefix));
  } finally {
    await Promise.allSettled([pool?.end(), connection?.close()]);
  }
  return checks;
}

const marks = { ok: ['green', '✔'], note: ['cyan', '•'], wrong: ['red', '✖'], unknown: ['yellow', '?'] } as const;

function write({ terminal }: Session, checks: readonly Check[]): void {
  for (const { name, state, says, mend } of checks) {
    const [style, mark] = marks[state];
    terminal.line(`${terminal.style(style, mark)} ${name.padEnd(18)}  ${escaped(says)}`);
    if (mend !== undefined) terminal.line(`  ${''.padEnd(18)}  → ${mend}`);
  }
}
