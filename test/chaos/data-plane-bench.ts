// What lives here: one database, one file and one log for a scenario of the chaos tests.
// Invariant: scenarios share no row; how much was read twice is counted from what the loaders took, not from what they say.
// Apart so that each test reads as the story of its fault.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPool } from '../../src/store/db.ts';
import { migrate } from '../../src/store/migrate.ts';
import { migratedDatabase } from '../support/database.ts';
import { type Child, startChild } from '../support/zombie.ts';
import { violations } from './data-plane-checker.ts';
import type { Orders } from './data-plane-loader.ts';
import { expected, tables } from './data-plane-source.ts';

export const truth = expected();
const program = new URL('./data-plane-loader.ts', import.meta.url);

interface LogLine {
  readonly pid: number;
  /** ms since 1970. */
  readonly at: number;
  readonly ready?: boolean;
  readonly taken?: { from: number; to: number };
  readonly committed?: { from: number; to: number };
  readonly failed?: string;
  readonly closed?: boolean;
}

export interface Scene {
  readonly url: string;
  readonly pool: ReturnType<typeof openPool>;
  readonly dir: string;
  start(orders?: Partial<Orders>): Child;
  log(): LogLine[];
  /** Starts a loader without any fault and waits; throws with its log if it does not end well. */
  finish(orders?: Partial<Orders>): Promise<void>;
  /** What the checker says. */
  check(): Promise<string[]>;
  /** Chunks that were taken from the reader more often than once. */
  redone(): number;
  close(): Promise<void>;
}

/** `url` for a server of the test's own; else a fresh database on the shared one. */
export async function scene(url?: string): Promise<Scene> {
  const database = url === undefined ? await migratedDatabase() : { url, drop: async () => undefined };
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-chaos-'));
  const file = join(dir, 'records.ndjson');
  const logFile = join(dir, 'log');
  writeFileSync(file, truth.text);
  writeFileSync(logFile, '');
  if (url !== undefined) await migrate(url);
  const pool = openPool({ url: database.url, applicationName: 'checker' }, 2);
  await pool.query(tables);
  const start: Scene['start'] = (orders) => startChild(program, { url: database.url, file, log: logFile, ...orders });
  const log = (): LogLine[] =>
    readFileSync(logFile, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  return {
    url: database.url,
    pool,
    dir,
    start,
    log,
    async finish(orders) {
      const { code, stderr } = await start(orders).ended;
      if (code !== 0) throw new Error(`The loader ended with ${code}. ${JSON.stringify(log().at(-1))} ${stderr}`);
    },
    check: () => violations(pool, truth),
    redone: () => log().filter(({ taken }) => taken).length - chunksOnce(log()),
    async close() {
      await pool.end();
      await database.drop();
      await rm(dir, { recursive: true });
    },
  };
}

/** Different ranges that were taken. */
const chunksOnce = (log: readonly LogLine[]): number =>
  new Set(log.flatMap(({ taken }) => (taken ? [`${taken.from}-${taken.to}`] : []))).size;
