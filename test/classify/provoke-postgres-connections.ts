// What lives here: failures of connections to Postgres: refused, cut, killed, silent, spent.
// Invariant: only backends and databases of the scene itself are ended.
// Apart because half of them come from the driver alone, without a code.
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import type { Provocation, Scene } from './provoke.ts';
import { connect } from './provoke-postgres.ts';

const other = (url: string, change: (at: URL) => void): string => {
  const at = new URL(url);
  change(at);
  return at.href;
};
const dialled = async (connectionString: string, more: pg.ClientConfig = {}): Promise<void> => {
  const client = new pg.Client({ connectionString, ...more });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } finally {
    // One that never connected never ends either.
    void client.end().catch(() => undefined);
  }
};
/** Takes connections and says nothing, or what it is given. */
async function silent({ defer }: Scene, first?: Buffer): Promise<string> {
  const server = createServer((socket) => {
    defer(() => socket.destroy());
    socket.on('error', () => undefined); // Clients give up on it.
    if (first) socket.once('data', () => void socket.end(first));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  defer(() => server.close());
  return `postgres://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/d`;
}
const pidOf = async (client: pg.Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

/** A statement that is under way while another connection does something to its backend. */
async function meanwhile(scene: Scene, act: (control: pg.Client, pid: number) => Promise<unknown>): Promise<void> {
  const [client, control] = [await connect(scene), await connect(scene)];
  const pid = await pidOf(client);
  const under = client.query('select pg_sleep(20)');
  under.catch(() => undefined); // Awaited below.
  for (let seen = 0; seen < 1;) {
    const { rowCount } = await control.query("select 1 from pg_stat_activity where pid = $1 and state = 'active'", [
      pid,
    ]);
    seen = rowCount ?? 0;
  }
  await act(control, pid);
  await under;
}

export const connectionFailures: readonly Provocation[] = [
  { what: 'Postgres: refused', code: 'net_refused', raise: async () => await dialled('postgres://u:p@127.0.0.1:9/d') },
  {
    what: 'Postgres: a wrong password',
    code: 'pg_auth',
    raise: async ({ url }) => await dialled(other(url, (at) => (at.password = 'wrong'))),
  },
  {
    what: 'Postgres: no password',
    code: 'pg_auth',
    raise: async ({ url }) => await dialled(other(url, (at) => (at.password = ''))),
  },
  {
    what: 'Postgres: no such role',
    code: 'pg_auth',
    raise: async ({ url }) => await dialled(other(url, (at) => (at.username = 'nobody_of_that_name'))),
  },
  {
    what: 'Postgres: no such database',
    code: 'pg_auth',
    raise: async ({ url }) => await dialled(other(url, (at) => (at.pathname = '/no_such_database'))),
  },
  { what: 'Postgres: no TLS', code: 'pg_auth', raise: async ({ url }) => await dialled(url, { ssl: true }) },
  {
    what: 'Postgres: takes the connection and is silent',
    code: 'pg_unreachable',
    raise: async (scene) => await dialled(await silent(scene), { connectionTimeoutMillis: 100 }),
  },
  {
    what: 'Postgres: takes the connection and closes it',
    code: 'pg_connection_lost',
    raise: async (scene) => await dialled(await silent(scene, Buffer.alloc(0))),
  },
  {
    what: 'Postgres: takes no more connections',
    code: 'pg_resources',
    raise: async (scene) => {
      const client = await connect(scene);
      await client.query(`alter database ${new URL(scene.url).pathname.slice(1)} connection limit 0`);
      try {
        await dialled(scene.url);
      } finally {
        await client.query(`alter database ${new URL(scene.url).pathname.slice(1)} connection limit -1`);
      }
    },
  },
  {
    what: 'Postgres: backend terminated',
    code: 'pg_connection_lost',
    raise: (scene) => meanwhile(scene, (control, pid) => control.query('select pg_terminate_backend($1)', [pid])),
  },
  {
    what: 'Postgres: statement cancelled',
    code: 'pg_cancelled',
    raise: (scene) => meanwhile(scene, (control, pid) => control.query('select pg_cancel_backend($1)', [pid])),
  },
  {
    what: 'pg: the socket is cut under a statement',
    code: 'pg_connection_lost',
    raise: async (scene) => {
      const client = await connect(scene);
      const under = client.query('select pg_sleep(20)');
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await under;
    },
  },
  {
    what: 'pg: used after the socket was cut',
    code: 'pg_connection_lost',
    raise: async (scene) => {
      const client = await connect(scene);
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await client.query('select 1');
    },
  },
  {
    what: 'pg: used after its end',
    code: 'pg_connection_lost',
    raise: async (scene) => {
      const client = await connect(scene);
      await client.end();
      await client.query('select 1');
    },
  },
  {
    what: 'pg: the longest time of a query',
    code: 'pg_timeout',
    raise: async (scene) => await (await connect(scene, { query_timeout: 50 })).query('select pg_sleep(1)'),
  },
  ...(['idle_in_transaction_session_timeout', 'idle_session_timeout'] as const).map((setting): Provocation => ({
    what: `Postgres: ${setting}`,
    code: setting === 'idle_session_timeout' ? 'pg_connection_lost' : 'pg_timeout',
    raise: async (scene) => {
      const client = new pg.Client({ connectionString: scene.url, options: `-c ${setting}=50` });
      const ended = new Promise((_, reject) => client.on('error', reject));
      await client.connect();
      if (setting !== 'idle_session_timeout') await client.query('begin');
      await ended;
    },
  })),
  {
    what: 'pg: all connections of a pool are in use',
    code: 'pg_pool_spent',
    raise: async ({ url, defer }) => {
      const pool = new pg.Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 100 });
      pool.on('error', () => undefined);
      const held = await pool.connect();
      defer(async () => {
        held.release();
        await pool.end();
      });
      await pool.query('select 1');
    },
  },
  {
    what: 'pg: a pool whose server is silent',
    code: 'pg_unreachable',
    raise: async (scene) => {
      const pool = new pg.Pool({ connectionString: await silent(scene), connectionTimeoutMillis: 100 });
      pool.on('error', () => undefined);
      scene.defer(() => pool.end());
      await pool.query('select 1');
    },
  },
  {
    what: 'pg: a pool after its end',
    code: 'code_bug',
    raise: async ({ url }) => {
      const pool = new pg.Pool({ connectionString: url });
      await pool.end();
      await pool.query('select 1');
    },
  },
];
