import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { connect, disconnect } from '../../src/store/db.ts';
import { copyIn } from '../../src/store/copy-in.ts';
import { freshDatabase } from '../support/database.ts';

let url: string;
let drop: () => Promise<void>;
let client: pg.Client;
beforeAll(async () => {
  ({ url, drop } = await freshDatabase());
});
afterAll(() => drop());
beforeEach(async () => {
  client = await connect({ url, applicationName: 'copy test' });
  await client.query('drop table if exists t; create table t (n int check (n <> 13), note text)');
  return () => disconnect(client);
});

const rows = (from: number, to: number): Buffer =>
  Buffer.from(Array.from({ length: to - from }, (_, index) => `${from + index}\t${'x'.repeat(50)}\n`).join(''));
const counted = async (): Promise<number> =>
  Number((await client.query<{ n: string }>('select count(*) as n from t')).rows[0]!.n);

describe('COPY from buffers', () => {
  it('sends parts as one stream and returns the rows of the command tag', async () => {
    expect(await copyIn(client, 'copy t from stdin', [rows(100, 40_000), rows(40_000, 60_000)])).toBe(59_900);
    expect(await counted()).toBe(59_900);
  });

  it('runs what stands before it in the same text', async () => {
    await client.query('begin');
    expect(await copyIn(client, 'savepoint s; copy t from stdin', [rows(100, 200)])).toBe(100);
    await client.query('rollback to savepoint s');
    await client.query('commit');
    expect(await counted()).toBe(0);
  });

  it.each([
    ['at the first row', 0],
    ['in the middle of a full socket', 150_000],
  ])('rejects when a row is refused %s, and the connection goes on', async (_where, before) => {
    const parts = [rows(100, 100 + before), rows(13, 14), rows(100, 300_000)];
    for (const cautiousBytes of [undefined, 4_096]) {
      const refused = copyIn(client, 'copy t from stdin', parts, cautiousBytes === undefined ? {} : { cautiousBytes });
      await expect(refused).rejects.toMatchObject({
        code: '23514',
        where: expect.stringMatching(/^COPY t, line \d+/) as unknown,
      });
      expect(await copyIn(client, 'copy t from stdin', [rows(100, 110)])).toBe(10);
    }
  });

  it('rejects when the statement itself is wrong', async () => {
    await expect(copyIn(client, 'copy nothing from stdin', [rows(1, 2)])).rejects.toMatchObject({ code: '42P01' });
    expect(await counted()).toBe(0);
  });

  it('rejects when the backend is ended in the middle, and does not end the process', async () => {
    const other = await connect({ url, applicationName: 'killer' });
    const { rows: found } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    let ending: Promise<unknown> | undefined;
    const killed = copyIn(client, 'copy t from stdin', [rows(100, 300_000)], {
      midway: () => void (ending = other.query('select pg_terminate_backend($1)', [found[0]!.pid])),
      cautiousBytes: 4_096,
    });
    await expect(killed).rejects.toThrow();
    await ending;
    await disconnect(other);
  });

  it('rejects when something throws while it sends', async () => {
    const failed = copyIn(client, 'copy t from stdin', [rows(100, 200)], {
      midway: () => {
        throw new Error('half way');
      },
    });
    await expect(failed).rejects.toThrow('half way');
  });
});
