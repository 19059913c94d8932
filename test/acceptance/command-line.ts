// What lives here: a user's place: an empty folder, a database, the command line as it is built, and workers.
// Invariant: everything goes through `mendflow` as a process of its own; the database is only looked into.
// Apart from the tests so that each reads as what a user does.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { startWorkerProcess, type WorkerProcess } from '../../src/stack/index.ts';
import { openPool } from '../../src/store/db.ts';
import { migratedDatabase } from '../support/database.ts';

const repository = join(import.meta.dirname, '..', '..');
/** Real input that nobody of this project wrote; not in the repository. */
export const data = join(repository, '..', 'shared', 'data');
export const absent = !existsSync(join(data, 'oracle', 'logs.tsv'));

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Place {
  mendflow(...argv: string[]): Promise<Ran>;
  /** As above, with --json; throws with what was said if the exit code is not 0. */
  json<T>(...argv: string[]): Promise<T>;
  worker(name: string, failpoints?: string): Promise<WorkerProcess>;
  rows<T>(sql: string): Promise<T[]>;
  close(): Promise<void>;
}

export async function openPlace(): Promise<Place> {
  const database = await migratedDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-acceptance-'));
  const pool = openPool({ url: database.url, applicationName: 'acceptance' }, 2);
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    DATABASE_URL: database.url,
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    MENDFLOW_PREFIX: `a${randomBytes(4).toString('hex')}`,
    MENDFLOW_DIR: dir,
    MENDFLOW_ACTOR: 'acceptance',
  };
  const workers: WorkerProcess[] = [];
  const mendflow = (...argv: string[]): Promise<Ran> =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [join(repository, 'dist', 'client.js'), ...argv], { cwd: dir, env });
      let out = '';
      let err = '';
      child.stdout.on('data', (part: Buffer) => (out += part.toString()));
      child.stderr.on('data', (part: Buffer) => (err += part.toString()));
      child.once('error', reject);
      child.once('close', (code) => resolve({ code: code ?? -1, out, err }));
    });
  return {
    mendflow,
    json: async (...argv) => {
      const { code, out, err } = await mendflow(...argv, '--json');
      if (code !== 0) throw new Error(`mendflow ${argv.join(' ')} ended with ${code}: ${err}${out}`);
      return JSON.parse(out) as never;
    },
    worker: async (name, failpoints = '') => {
      const worker = await startWorkerProcess({
        dir,
        name,
        command: process.execPath,
        args: [join(repository, 'dist', 'worker.js')],
        env: { ...env, MENDFLOW_FAILPOINTS: failpoints },
        readyText: 'Worker is up.',
      });
      workers.push(worker);
      return worker;
    },
    rows: async <T>(sql: string) => (await pool.query(sql)).rows as T[],
    close: async () => {
      await Promise.all(workers.filter((one) => one.isAlive()).map((one) => one.stop(10_000)));
      await pool.end();
      await database.drop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
