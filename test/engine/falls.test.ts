// What is promised here: what the code of a stage lets fall ends that stage and nothing beside it, and no word of it is told anywhere.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { reconcileSearchAttributes } from '../../src/engine/worker.ts';
import { queues, runKey, scopeOf, workflowId } from '../../src/model/ids.ts';
import { leanNode } from '../../src/stack/index.ts';
import { openPool } from '../../src/store/db.ts';
import { migrate } from '../../src/store/migrate.ts';
import { freshDatabase } from '../support/database.ts';
import { falls } from './falls-project/pipelines.ts';
import { CANARY, strays, thrown } from './falls-project/strays.ts';

const repository = join(import.meta.dirname, '..', '..');
const prefix = `falls${process.pid}`;
const dir = mkdtempSync(join(tmpdir(), 'mendflow-falls-'));
const logFile = join(dir, 'worker.log');
const log = (): string => readFileSync(logFile, 'utf8');

let database: Awaited<ReturnType<typeof freshDatabase>>;
let pool: Pool;
let connection: Connection;
let client: Client;
let worker: ChildProcess;

beforeAll(async () => {
  database = await freshDatabase();
  await migrate(database.url);
  pool = openPool({ url: database.url, applicationName: 'test' });
  connection = await Connection.connect({ address: inject('temporalAddress') });
  await reconcileSearchAttributes(connection, 'default');
  client = new Client({ connection });
  worker = startWorker();
}, 90_000);

afterAll(async () => {
  worker.kill('SIGKILL');
  await connection.close();
  await pool.end();
  await database.drop();
  await rm(dir, { recursive: true, force: true });
});

function startWorker(out: number | 'pipe' = openSync(logFile, 'a')): ChildProcess {
  return spawn(process.execPath, [join(repository, 'dist', 'worker.js')], {
    cwd: join(import.meta.dirname, 'falls-project'),
    env: {
      ...leanNode.env,
      PATH: process.env['PATH'],
      HOME: dir,
      MENDFLOW_DIR: dir,
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: inject('temporalAddress'),
      MENDFLOW_PREFIX: prefix,
      MENDFLOW_SLOTS: '20',
      MENDFLOW_STUCK_MS: '4000',
    },
    stdio: ['ignore', out, openSync(logFile, 'a')],
  });
}

const keyOf = (how: string): string => runKey('falls', '2026-11-21', scopeOf(falls.spec, { how }));
const start = async (how: string): Promise<string> => {
  await client.workflow.start('falls', {
    taskQueue: queues(prefix).work,
    workflowId: workflowId(prefix, keyOf(how)),
    args: [{ dataDate: '2026-11-21', input: { how }, scope: scopeOf(falls.spec, { how }) }],
  });
  return keyOf(how);
};
const parked = async (): Promise<Map<string, { code: string; text: string; until: string }>> => {
  const { rows } = await pool.query<{ run_key: string; code: string; text: string; until: string }>(
    'select run_key, code, text, until from mendflow.parked_run',
  );
  return new Map(rows.map((row) => [row.run_key, row]));
};
/** The bytes as the server has them: what a payload holds is no text of its JSON. */
const historyOf = async (how: string): Promise<string> => {
  const history = await client.workflow.getHandle(workflowId(prefix, keyOf(how))).fetchHistory();
  return textOf(proto.temporal.api.history.v1.History.encode(history).finish());
};
/** Memo, search attributes, what is pending and how it failed last. */
const pageOf = async (how: string): Promise<string> => {
  const { raw } = await client.workflow.getHandle(workflowId(prefix, keyOf(how))).describe();
  return textOf(proto.temporal.api.workflowservice.v1.DescribeWorkflowExecutionResponse.encode(raw).finish());
};
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
/** What the Temporal server itself says. */
const serverLog = (): string => readFileSync(join(inject('scratchDir'), 'logs', 'temporal.log'), 'utf8');
const serverMetrics = async (): Promise<string> => {
  const [, port] = /Temporal Metrics: +http:\/\/localhost:(\d+)\/metrics/.exec(serverLog())!;
  return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
};

describe('an error that a stage lets fall', { timeout: 120_000 }, () => {
  it('ends this stage with code_bug, once, and no other one; the worker goes on', async () => {
    await expect.poll(log, { timeout: 60_000, interval: 100 }).toContain('Worker is up.');
    const calm = await start('calm');
    const runs = await Promise.all([...Object.keys(strays), 'late'].map(start));
    const missing = async () => {
      const there = await parked();
      return Object.keys(strays).filter((_how, at) => !there.has(runs[at]!));
    };
    await expect.poll(missing, { timeout: 60_000 }).toEqual([]);
    for (const [how, run] of Object.keys(strays).map((name, at) => [name, runs[at]!] as const)) {
      expect((await parked()).get(run), how).toMatchObject({ code: 'code_bug', until: 'decision' });
      // Errors of Node's own callbacks and of values that are no errors have no place of ours.
      if (!/text|nothing|read|socket/.test(how))
        expect((await parked()).get(run)!.text, how).toMatch(/\bstrays\.ts:\d+:\d+/);
    }
    const states = async () =>
      (await pool.query<{ n: number }>("select count(*)::int as n from mendflow.run where state = 'done'")).rows[0]!.n;
    await expect.poll(states, { timeout: 30_000 }).toBe(2);
    expect((await pool.query('select attempt from mendflow.attempt where run_key = $1', [calm])).rows).toHaveLength(0);
    expect(worker.exitCode).toBeNull();
    expect(log()).toContain('Stage fall was over already');
  });

  it('is told without a word of its own, in the log as in the histories', async () => {
    expect(log()).not.toContain(CANARY);
    for (const how of [...Object.keys(strays), 'late']) expect(await historyOf(how), how).not.toContain(CANARY);
  });

  it('tells of one that it throws no more: no name, call, code, cause or warning that is not known', async () => {
    const before = (await parked()).size;
    await Promise.all(Object.keys(thrown).map(start));
    await expect.poll(async () => (await parked()).size, { timeout: 60_000 }).toBe(before + Object.keys(thrown).length);
    for (const how of Object.keys(thrown)) expect(await historyOf(how), how).not.toMatch(RegExp(CANARY, 'i'));
    expect(log()).not.toMatch(RegExp(CANARY, 'i'));
    expect(log()).toContain('DeprecationWarning DEP0001 of Node or of a package.');
    for (const table of ['run', 'stage_run', 'attempt', 'parked_run']) {
      const { rows } = await pool.query(`select t::text from mendflow.${table} t`);
      expect(JSON.stringify(rows), table).not.toMatch(RegExp(CANARY, 'i'));
    }
  });

  it('is not told by the server either: pages of the runs, metrics, its log', async () => {
    const hows = [...Object.keys(strays), 'late', ...Object.keys(thrown)];
    const pages = await Promise.all(hows.map(pageOf));
    const found = { pages: pages.join('\n'), metrics: await serverMetrics(), log: serverLog() };
    // What is known to be there is found in this way.
    expect(pages[0]).toContain(keyOf(hows[0]!));
    expect(found.metrics).toContain('service_requests');
    expect(found.log).toContain('Temporal Server:');
    for (const [where, text] of Object.entries(found)) expect(RegExp(CANARY, 'i').exec(text), where).toBeNull();
  });

  it('ends the worker with a named reason where nobody knows whose it is', async () => {
    const ended = once(worker, 'exit') as Promise<[number | null]>;
    await start('nobodys');
    expect((await ended)[0]).toBe(1);
    expect(log()).toMatch(/This worker ended by itself\. An error was thrown outside of every stage/);
    expect(log()).toMatch(/takes no more work and ends: .*strays\.ts:\d+/);
    expect(log()).not.toContain(CANARY);
  });
});

describe('a worker whose surroundings fail', { timeout: 120_000 }, () => {
  const done = (run: string) => async () =>
    (
      await pool.query<{ n: number }>("select count(*)::int as n from mendflow.run where key = $1 and state = 'done'", [
        run,
      ])
    ).rows[0]!.n;

  it('works on while its log cannot be written, and ends with a sentence when hardly any file can be opened', async ({
    skip,
  }) => {
    if (process.platform !== 'linux') skip('Needs /dev/full and prlimit of Linux.');
    worker = startWorker(openSync('/dev/full', 'w'));
    const run = await start('fine');
    await expect.poll(done(run), { timeout: 60_000 }).toBe(1);
    const ended = once(worker, 'exit') as Promise<[number | null]>;
    // Some are left: with fewer than a timer of node:vm takes, Node itself aborts before anybody can say why.
    const taken = new Set(readdirSync(`/proc/${worker.pid}/fd`).map(Number));
    let limit = 0;
    for (let free = 0; free < 16; limit++) if (!taken.has(limit)) free += 1;
    execFileSync('prlimit', ['--pid', String(worker.pid), `--nofile=${limit}:${limit}`]);
    expect(await ended).toEqual([1, null]);
    expect(log()).toMatch(/This worker ended by itself\. Only \d+ more files can be opened/);
  });

  it('ends when the code of a stage lets it do nothing else, and says where; its run then waits, and others go on', async () => {
    let deaths = 0;
    const again = (): void => {
      worker = startWorker(openSync(logFile, 'a'));
      worker.once('exit', (_code, signal) => {
        deaths += 1;
        expect(signal).toBe('SIGKILL');
        again();
      });
    };
    again();
    const run = await start('stuck');
    await expect
      .poll(async () => (await parked()).get(run), { timeout: 100_000 })
      .toMatchObject({ code: 'worker_lost', until: 'time' });
    expect(deaths).toBeGreaterThan(0);
    expect(log()).toMatch(/This worker ended by itself\. For 4 s it did nothing but run \S*strays\.ts:\d+:\d+: /);
    expect(log()).not.toContain(CANARY);
    const after = await start('well');
    await expect.poll(done(after), { timeout: 60_000 }).toBe(1);
    worker.removeAllListeners('exit');
    worker.kill('SIGKILL');
    await once(worker, 'exit');
  });

  it('works on when whoever read its log has gone', async () => {
    worker = startWorker('pipe');
    worker.stdout!.destroy();
    const run = await start('unread');
    await expect.poll(done(run), { timeout: 60_000 }).toBe(1);
    expect(worker.exitCode).toBeNull();
  });

  it.each([12, 24, 60])(
    'takes no work with %i files, and says what it lacks if Node itself can start',
    async (files) => {
      const poor = spawn(
        'prlimit',
        [`--nofile=${files}:${files}`, process.execPath, join(repository, 'dist', 'worker.js')],
        {
          env: { PATH: process.env['PATH'], UV_THREADPOOL_SIZE: '64', MENDFLOW_DIR: dir },
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      let said = '';
      poor.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
      const [code] = (await once(poor, 'close')) as [number | null];
      expect(code).not.toBe(0);
      if (files > 20)
        expect(said).toMatch(/^This worker can open \d+ more files and needs \d+: .* It took no work\. .*ulimit -n/);
    },
  );
});
