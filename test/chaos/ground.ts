// What lives here: what every scene of the chaos tests stands on: a migrated database, Temporal, a folder, and worker processes that are known by name.
// Invariant: nothing of one scene meets another's, by prefix and folder; close() leaves no worker, whatever was done to it.
// Apart from the scenes because only what happens in them differs.
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { reconcileSearchAttributes } from '../../src/engine/worker.ts';
import { startWorkerProcess, type WorkerProcess } from '../../src/stack/index.ts';
import { openPool } from '../../src/store/db.ts';
import { migrate } from '../../src/store/migrate.ts';

const repository = join(import.meta.dirname, '..', '..');

/** Arguments of Node for a worker of the sources as they are. */
export const sources: readonly string[] = [
  '--conditions=mendflow-src',
  '--import',
  import.meta.resolve('tsx'),
  join(repository, 'src', 'worker.ts'),
];
/** For one of what is built. */
export const built: readonly string[] = [join(repository, 'dist', 'worker.js')];

export interface Servers {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
}

export interface WorkerOfScene {
  readonly args: readonly string[];
  /** Folder of its project: a name beside this file, or a whole path. */
  readonly project: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Ground {
  readonly prefix: string;
  readonly dir: string;
  readonly pool: ReturnType<typeof openPool>;
  readonly client: Client;
  worker(name: string, of: WorkerOfScene): Promise<WorkerProcess>;
  close(): Promise<void>;
}

/** On a database that exists; `below`: where its folder is made. */
export async function openGround(at: Servers, name: string, below = tmpdir()): Promise<Ground> {
  const prefix = `${name[0]!}${randomBytes(4).toString('hex')}`;
  const dir = mkdtempSync(join(below, `mendflow-${name}-`));
  await migrate(at.databaseUrl);
  const pool = openPool({ url: at.databaseUrl, applicationName: 'checker' }, 3);
  const connection = await Connection.connect({ address: at.temporalAddress });
  await reconcileSearchAttributes(connection, 'default');
  const workers: WorkerProcess[] = [];
  return {
    prefix,
    dir,
    pool,
    client: new Client({ connection }),
    worker: async (worker, { args, project, env }) => {
      const started = await startWorkerProcess({
        dir,
        name: worker,
        command: process.execPath,
        args: [...args],
        cwd: resolve(import.meta.dirname, project),
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: dir,
          DATABASE_URL: at.databaseUrl,
          TEMPORAL_ADDRESS: at.temporalAddress,
          MENDFLOW_PREFIX: prefix,
          MENDFLOW_DIR: dir,
          ...env,
        },
        readyText: 'Worker is up.',
      });
      workers.push(started);
      return started;
    },
    close: async () => {
      // A worker that was stopped does not hear SIGTERM; SIGKILL it does.
      await Promise.all(workers.filter((one) => one.isAlive()).map((one) => one.kill()));
      await connection.close();
      await pool.end();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
