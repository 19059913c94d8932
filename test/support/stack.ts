// What lives here: one Postgres and one Temporal dev server for a whole test run.
// Invariant: nothing outlives the run, not even one that was killed; two runs share nothing but the cache of programs.
// Apart because vitest starts it once, in its own process; tests read the addresses with `inject('databaseUrl')`.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import pg from 'pg';
import { findTemporalCli, startPostgres, startTemporal } from '../../src/stack/index.ts';
import { migrate } from '../../src/store/migrate.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser; creates databases (see test/support/database.ts). */
    adminUrl: string;
    /** The non-superuser role `mendflow` on the database `mendflow`, which all tests share. */
    databaseUrl: string;
    /** `host:port` of the dev server. */
    temporalAddress: string;
    temporalUiUrl: string;
    /** Has the schema of this release; `migratedDatabase` copies it. */
    templateDatabase: string;
    /** A folder of this run; it is removed at the end. */
    scratchDir: string;
  }
}

interface Addresses {
  readonly adminUrl: string;
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly templateDatabase: string;
  readonly scratchDir: string;
}

const templateDatabase = 'migrated';
const repository = join(import.meta.dirname, '..', '..');

const startReaper = (): { tell: (order: object) => void; finish: () => Promise<void> } => {
  const reaper = spawn(process.execPath, [join(import.meta.dirname, 'reaper.mjs')], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => reaper.once('exit', () => resolve()));
  reaper.unref();
  return {
    tell: (order) => reaper.stdin.write(`${JSON.stringify(order)}\n`),
    finish: () => {
      reaper.stdin.end();
      return ended;
    },
  };
};

let shared: { addresses: Promise<Addresses>; finish: () => Promise<void>; users: number } | undefined;

const start = async (tell: (order: object) => void): Promise<Addresses> => {
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-test-'));
  chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
  const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache');
  tell({ remove: dir });
  buildFirst();
  const [postgres, temporal] = await Promise.all([
    startPostgres({ dir, cacheDir }).then((up) => {
      tell({ pid: up.pid, signal: 'SIGQUIT' });
      if (up.dataDir !== undefined && !up.dataDir.startsWith(dir)) tell({ remove: join(up.dataDir, '..', '..') });
      return up;
    }),
    findTemporalCli({ explicit: process.env['TEMPORAL_CLI'], cacheDir })
      .then(({ path }) => startTemporal({ dir, cli: path, dbFile: false }))
      .then((up) => {
        tell({ pid: up.pid, signal: 'SIGKILL' });
        return up;
      }),
  ]);
  await prepare(postgres);
  return {
    adminUrl: postgres.adminUrl,
    databaseUrl: postgres.url,
    temporalAddress: temporal.address,
    temporalUiUrl: temporal.uiUrl ?? '',
    templateDatabase,
    scratchDir: dir,
  };
};

/** Builds dist/ if the sources have changed: tests start workers and commands from it, as users do, and it starts in half the time. */
const buildFirst = (): void => {
  execFileSync(process.execPath, [join(repository, 'scripts', 'setup.mjs')], { cwd: repository, timeout: 240_000 });
};

/** A migrated database to copy from. What a killed server has written is kept by the machine, so nothing has to wait for the disk here. */
const prepare = async ({ adminUrl, url }: { adminUrl: string; url: string }): Promise<void> => {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    await admin.query('alter system set fsync = off');
    await admin.query('select pg_reload_conf()');
    await admin.query(`create database ${templateDatabase} owner mendflow`);
    const template = new URL(url);
    template.pathname = `/${templateDatabase}`;
    await migrate(template.href);
    await admin.query(`alter database ${templateDatabase} is_template true`);
  } finally {
    await admin.end();
  }
};

/** vitest calls this once per project that needs the stack; the second one finds it running. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (shared === undefined) {
    const reaper = startReaper();
    shared = { addresses: start(reaper.tell), finish: reaper.finish, users: 0 };
  }
  const stack = shared;
  stack.users += 1;
  const release = async (): Promise<void> => {
    stack.users -= 1;
    if (stack.users > 0) return;
    shared = undefined;
    await stack.finish();
  };
  try {
    const addresses = await stack.addresses;
    for (const name of Object.keys(addresses) as (keyof Addresses)[]) project.provide(name, addresses[name]);
  } catch (error) {
    await release();
    throw error;
  }
  return release;
}
