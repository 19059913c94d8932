// What lives here: the first scene: a big log with planted poison, and a worker that is killed in the middle of it.
// Invariant: the kill is a real SIGKILL of a real process; what is claimed afterwards is counted from the database.
// Apart because it is the promise people doubt first.
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { generate, type Generated } from '../../bench/generate.ts';
import { stackStatus } from '../../src/stack/index.ts';
import { type At, happens, mendflow, say } from './tell.ts';

const LINES = 400_000;
const PATIENCE_MS = 120_000;

export interface Killed {
  readonly made: Generated;
  readonly run: string;
  /** Rows that Postgres wrote into the table during the scene, those of the killed worker included. */
  readonly writtenRows: number;
}

/** Records a chunk of a flow has at most. */
const CHUNK_RECORDS = 20_000;

/** Postgres' own count of rows written, rolled back ones included. It reaches the books a moment after the fact. */
async function written(pool: Pool): Promise<number> {
  await sleep(1_500);
  const { rows } = await pool.query<{ n: string }>(
    "select n_tup_ins as n from pg_stat_user_tables where relname = 'log_entries'",
  );
  return Number(rows[0]?.n ?? 0);
}

export async function killInTheMiddle(pool: Pool, at: At & { readonly files: string }): Promise<Killed> {
  const writtenBefore = await written(pool);
  const raw = join(at.files, 'busy.log');
  const made = generate({
    format: 'plain',
    lines: LINES,
    raw,
    clean: join(at.files, 'busy.expected'),
    dataDate: '2026-11-20',
  });
  const kinds = Object.entries(made.poison).map(([kind, count]) => `${count} ${kind}`);
  happens(`busy.log holds ${made.lines} lines. ${made.lines - made.rows} of them are poison: ${kinds.join(', ')}.`);
  const started = await mendflow(
    ['start', 'log-ingest', '--date', '2026-11-20', '--set', `path=${raw}`, '--set', 'format=plain'],
    at,
  );
  const run = /log-ingest\/\S*\w/.exec(started.out)?.[0] ?? '';
  const chunks = await untilCommitted(pool, run);
  const { workers } = await stackStatus({ dir: at.dir });
  const worker = workers.find((one) => one.alive);
  if (!worker) throw new Error('No worker of the stack is alive.');
  happens(`${chunks} chunks are committed and others are under way. Do not try this with your own loader:`);
  say(`  $ kill -9 ${worker.pid}`);
  process.kill(worker.pid, 'SIGKILL');
  happens(
    'The worker is gone, and nobody could say goodbye. The stack starts another one by itself; Temporal gives it the stage once the heartbeats have stopped for 10 s.',
  );
  await mendflow(
    ['start', 'log-ingest', '--date', '2026-11-20', '--set', `path=${raw}`, '--set', 'format=plain', '--wait'],
    at,
  );
  return { made, run, writtenRows: (await written(pool)) - writtenBefore };
}

/** Waits for the first chunks, so that there is something to lose and something to keep. */
async function untilCommitted(pool: Pool, run: string): Promise<number> {
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until) {
    const { rows } = await pool.query<{ n: number }>(
      'select count(*)::int as n from mendflow.chunk where run_key = $1',
      [run],
    );
    if (rows[0]!.n >= 2) return rows[0]!.n;
    await sleep(20);
  }
  throw new Error(`No chunk of ${run} was committed within ${PATIENCE_MS / 1000} s. See \`mendflow show ${run}\`.`);
}

/** What the database says about the scene. */
export async function countKilled(pool: Pool, { made, run, writtenRows }: Killed): Promise<[string, string, string][]> {
  const one = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql, [run])).rows[0]!.n);
  const mine = 'source_id in (select source_id from mendflow.slice where run_key = $1)';
  const rows = await one(`select count(*) as n from log_entries where ${mine}`);
  const twice = await one(
    `select count(*) as n from (select 1 from log_entries where ${mine} group by source_id, "offset" having count(*) > 1) doubled`,
  );
  const letters = await one('select count(*) as n from mendflow.dead_letter where run_key = $1');
  const redone = writtenRows - rows;
  const chunks = await one('select count(*) as n from mendflow.chunk where run_key = $1');
  const leases = await one('select max(epoch) as n from mendflow.lease where run_key = $1');
  const good = (right: boolean, text: string): string => `${right ? '✔' : '✖'} ${text}`;
  return [
    ['clean lines in busy.log', String(made.rows), ''],
    ['rows in log_entries', String(rows), good(rows === made.rows, 'equal')],
    ['rows that are there twice', String(twice), good(twice === 0, 'none')],
    [
      'dead letters',
      String(letters),
      good(letters > 0, 'each with line, offset, raw bytes and every violation, sealed'),
    ],
    ['chunks in the ledger', String(chunks), '✔ no byte in two of them: the database refuses it'],
    [
      'rows written and rolled back',
      String(redone),
      good(redone <= 2 * CHUNK_RECORDS, 'at most one chunk for each of the two connections'),
    ],
    [
      'times a worker took the stage over',
      String(leases - 1),
      good(leases >= 2, 'each ended the connections of the one before'),
    ],
  ];
}
