import { setTimeout as sleep } from 'node:timers/promises';
import { connect as dial, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { commit, connect, disconnect, inTransaction, limitsMs, openPool, withClient } from '../../src/store/db.ts';
import { freshDatabase } from '../support/database.ts';

let url: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ url, drop } = await freshDatabase());
});
afterAll(() => drop());

const setting = async (client: Awaited<ReturnType<typeof connect>>, name: string): Promise<string> =>
  (await client.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]!.value;

describe('a connection', () => {
  it('has the settings of the data plane, whatever the role or the address prefer', async () => {
    const own = new URL(url);
    own.searchParams.set(
      'options',
      '-c synchronous_commit=off -c default_transaction_isolation=serializable -c work_mem=5MB',
    );
    const client = await connect({ url: own.href, applicationName: 'mf:test:1' });
    const names = [
      'application_name',
      'default_transaction_isolation',
      'synchronous_commit',
      'lock_timeout',
      'idle_in_transaction_session_timeout',
      'statement_timeout',
      'work_mem',
    ];
    const values = [];
    for (const name of names) values.push(await setting(client, name));
    await disconnect(client);
    expect(values).toEqual(['mf:test:1', 'read committed', 'on', '5s', '10s', '1min', '5MB']);
  });

  it('is made as a pool makes it, with a name of its own', async () => {
    const pool = openPool({ url, applicationName: 'pool' });
    const client = await connect({ url: pool, applicationName: 'like the pool' });
    expect(await setting(client, 'application_name')).toBe('like the pool');
    await disconnect(client);
    await pool.end();
  });

  it('is refused behind a pooler, where statements run in another backend than was announced', async () => {
    const { port, hostname } = new URL(url);
    const pooler = createServer((client) => {
      const server = dial(Number(port), hostname);
      client.pipe(server);
      server.on('data', (bytes) => {
        const at = bytes.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
        if (at >= 0) bytes.writeInt32BE(bytes.readInt32BE(at + 5) + 1, at + 5);
        client.write(bytes);
      });
      for (const socket of [client, server]) socket.on('error', () => undefined);
      client.on('close', () => server.destroy());
    });
    await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
    const through = new URL(url);
    through.port = String((pooler.address() as AddressInfo).port);
    await expect(connect({ url: through.href, applicationName: 'x' })).rejects.toMatchObject({
      failure: { code: 'sink_unsafe' },
    });
    pooler.close();
  });

  it('that is lost while idle in a transaction does not end the process', async () => {
    const client = await connect({ url, applicationName: 'lost' });
    const other = await connect({ url, applicationName: 'killer' });
    await client.query('begin');
    await other.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'lost'`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const lost = await client.query('select 1').catch((error: unknown) => error);
    expect(classify(lost).code).toBe('pg_connection_lost');
    await Promise.all([disconnect(client), disconnect(other)]);
  });

  it('gives up on a server that never answers', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const nowhere = new URL(url);
    nowhere.port = String((silent.address() as AddressInfo).port);
    const before = limitsMs.connect;
    limitsMs.connect = 300;
    const startedAt = Date.now();
    const failed = await connect({ url: nowhere.href, applicationName: 'x' }).catch((error: unknown) => error);
    expect(classify(failed).code).toBe('pg_unreachable');
    expect(Date.now() - startedAt).toBeLessThan(20_000);
    limitsMs.connect = before;
    silent.close();
  });
});

describe('COMMIT', () => {
  it('of a failed transaction is not taken for a commit', async () => {
    const client = await connect({ url, applicationName: 'x' });
    await client.query('begin');
    await client.query('select 1 / 0').catch(() => undefined);
    await expect(commit(client)).rejects.toMatchObject({ failure: { code: 'pg_conflict' } });
    await disconnect(client);
  });

  it('is unknown when the connection is lost before the answer, whatever the server said last', async () => {
    const client = await connect({ url, applicationName: 'unknown' });
    const other = await connect({ url, applicationName: 'killer' });
    await client.query(
      `create temp table t (n int) on commit drop; create or replace function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(5); return null; end $$`,
    );
    await client.query(`begin; create table if not exists slow_commit (n int); drop trigger if exists slow on slow_commit;
      create constraint trigger slow after insert on slow_commit deferrable initially deferred for each row execute function slow(); insert into slow_commit values (1)`);
    const lost = commit(client);
    const killed = sleep(200).then(() =>
      other.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'unknown'`),
    );
    await expect(lost).rejects.toMatchObject({ failure: { code: 'pg_commit_unknown', commit: 'unknown' } });
    await killed;
    await Promise.all([disconnect(client), disconnect(other)]);
  });

  it('undoes everything when the body throws, and hands the client back only if it is sound', async () => {
    const pool = openPool({ url, applicationName: 'x' }, 1);
    await pool.query('create table kept (n int)');
    const failed = withClient(pool, (client) =>
      inTransaction(client, async () => {
        await client.query('insert into kept values (1)');
        throw new Error('no');
      }),
    );
    await expect(failed).rejects.toThrow('no');
    expect((await pool.query('select * from kept')).rows).toEqual([]);
    await pool.end();
  });
});
