// What lives here: how Mendflow connects to Postgres, and the one place that sends COMMIT.
// Invariant: every client has an error listener, hard time limits on both ends and the session settings of the data plane; committed means the tag said COMMIT.
// Apart because a connection opened any other way can hang for ever, crash the process or report a lost chunk as saved.
import pg from 'pg';
import { CodedError } from '../model/failure.ts';

/** Anything that runs a statement: a client in a transaction, or a pool. */
export type Db = Pick<pg.ClientBase, 'query'>;

/** Hard ends of waiting, in milliseconds. The client's end lies above the server's, so that the server's clearer error comes first. */
export const limitsMs = { connect: 10_000, statement: 60_000, query: 65_000, lock: 5_000, idleInTransaction: 10_000 };

/** Where and as whom to connect: by an address, or as a pool does. `applicationName` is what a take-over looks for, so it is never defaulted. */
export interface Address {
  readonly url: string | pg.Pool;
  readonly applicationName: string;
}

/** Lowest supported `server_version_num`: PostgreSQL 15. */
export const SERVER_VERSION_MIN = 150_000;

const sessionOptions = [
  'default_transaction_isolation=read\\ committed',
  'synchronous_commit=on',
  `lock_timeout=${limitsMs.lock}`,
  `idle_in_transaction_session_timeout=${limitsMs.idleInTransaction}`,
  'client_min_messages=warning',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

/** What pg is given; options of the user's own URL come first, so that ours win. */
function configOf({ url, applicationName }: Address): pg.ClientConfig {
  const shared: pg.ClientConfig = {
    connectionTimeoutMillis: limitsMs.connect,
    statement_timeout: limitsMs.statement,
    query_timeout: limitsMs.query,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
  // A pool made elsewhere has its address in its options, as a text or in parts.
  if (typeof url !== 'string') {
    const { connectionString, host, port, user, password, database, ssl } = url.options as pg.ClientConfig;
    if (connectionString !== undefined) return configOf({ url: connectionString, applicationName });
    const parts = Object.entries({ host, port, user, password, database, ssl }).filter(
      ([, part]) => part !== undefined,
    );
    return { ...shared, ...Object.fromEntries(parts), application_name: applicationName, options: sessionOptions };
  }
  if (!URL.canParse(url))
    return { ...shared, connectionString: url, application_name: applicationName, options: sessionOptions };
  const address = new URL(url);
  const own = address.searchParams.get('options');
  for (const name of ['options', 'application_name']) address.searchParams.delete(name);
  return {
    ...shared,
    connectionString: address.href,
    application_name: applicationName,
    options: own === null ? sessionOptions : `${own} ${sessionOptions}`,
  };
}

/** The loss of a connection reaches whoever runs a query on it; without this listener it would end the process as well. */
const heard = (): void => undefined;

/** A pool for short statements. At most `max` connections, 4 unless told. */
export function openPool(address: Address, max = 4): pg.Pool {
  const pool = new pg.Pool({ ...configOf(address), max, idleTimeoutMillis: 10_000, allowExitOnIdle: true });
  pool.on('error', heard);
  pool.on('connect', (client) => client.on('error', heard));
  return pool;
}

/**
 * One connection of its own, checked to be a direct one.
 * Fails with `sink_unsafe` behind a pooler, where a take-over could not end the right backend, and with `pg_schema` below PostgreSQL 15.
 */
export async function connect(address: Address): Promise<pg.Client> {
  const client = new pg.Client(configOf(address));
  client.on('error', heard);
  try {
    await client.connect();
    await checkServer(client);
  } catch (error) {
    await disconnect(client);
    throw error;
  }
  return client;
}

async function checkServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ pid: number; version: number; shown: string }>(
    `select pg_backend_pid() as pid, current_setting('server_version_num')::int as version, current_setting('server_version') as shown`,
  );
  const { pid, version, shown } = rows[0]!;
  if (version < SERVER_VERSION_MIN)
    throw new CodedError(
      'pg_schema',
      `The database is PostgreSQL ${shown}; Mendflow needs 15 or newer. Nothing was written. Point DATABASE_URL at a newer server.`,
    );
  const announced = (client as pg.Client & { processID: number | null }).processID;
  if (announced !== pid)
    throw new CodedError(
      'sink_unsafe',
      `The server announced backend ${String(announced)}, but statements run in backend ${pid}: a pooler stands in between, and a stopped writer could not be ended. ` +
        'Nothing was written. Point DATABASE_URL at the server itself.',
    );
  // Errors are recognised by code and by the shape of their context in any language; English only makes letters easier to read.
  await client.query(
    `select case when has_parameter_privilege('lc_messages', 'set') then set_config('lc_messages', 'C', false) end`,
  );
}

/** Ends a connection for good: politely if it answers within a second, else by closing the socket. Never fails. */
export async function disconnect(client: pg.Client): Promise<void> {
  const patience = setTimeout(() => sever(client), 1_000);
  try {
    await client.end();
  } catch {
    sever(client);
  } finally {
    clearTimeout(patience);
  }
}

/** Closes the socket at once. The server rolls back what was open, as soon as it notices. */
export function sever(client: pg.ClientBase): void {
  (client as pg.ClientBase & { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** Codes that say for certain that COMMIT did not happen; of all others nothing is certain. */
const refusedCommit = /^(2[23]|40(?!003)|44|P0|MF)/;

/**
 * Sends COMMIT. Returns only if the command tag is COMMIT.
 * `inFlight` is called when COMMIT has been sent and not been answered; for failpoints.
 * Fails with `pg_commit_unknown` if the answer got lost: whoever catches it has to take the lease again before reading the ledger.
 */
export async function commit(client: pg.ClientBase, inFlight?: () => void): Promise<void> {
  let tag: string;
  try {
    const answer = client.query('commit');
    answer.catch(() => undefined); // It is awaited below, unless a failpoint throws in between.
    inFlight?.();
    tag = (await answer).command;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code === 'string' && refusedCommit.test(code)) throw error;
    sever(client);
    throw new CodedError('pg_commit_unknown', undefined, { cause: error });
  }
  if (tag !== 'COMMIT')
    throw new CodedError(
      'pg_conflict',
      `The database answered ${tag} to COMMIT, so nothing of the transaction was saved. It is done again with the next attempt.`,
    );
}

/** Undoes an open transaction; a connection that cannot even do that is closed, which undoes it as well. Never fails. */
export async function rollback(client: pg.ClientBase): Promise<void> {
  try {
    await client.query('rollback');
  } catch {
    sever(client);
  }
}

/** Runs the body in one READ COMMITTED transaction of this client; what it throws undoes everything. */
export async function inTransaction<T>(client: pg.ClientBase, body: () => Promise<T>): Promise<T> {
  await client.query('begin isolation level read committed');
  let result: T;
  try {
    result = await body();
  } catch (error) {
    await rollback(client);
    throw error;
  }
  await commit(client);
  return result;
}

/** Runs the body with a client of the pool and hands it back; a client that failed is thrown away, because its state is unknown. */
export async function withClient<T>(pool: pg.Pool, body: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = true;
  try {
    const result = await body(client);
    broken = false;
    return result;
  } finally {
    client.release(broken);
  }
}
