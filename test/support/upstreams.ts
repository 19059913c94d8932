// What lives here: workers with upstreams, without Temporal: several in one process, each with its own copy, pool and connection.
// Invariant: they share nothing but the database; closing a scene leaves no connection behind.
// Apart because every test of breakers needs two workers and a way to count what reached the other side.
import type pg from 'pg';
import { openUpstreams, type OpenUpstreams } from '../../src/connectors/upstream.ts';
import { CodedError, type Code } from '../../src/model/failure.ts';
import type { BreakerSettings, Upstreams } from '../../src/model/upstream.ts';
import { openPool } from '../../src/store/db.ts';
import { migratedDatabase } from './database.ts';

/** Breakers that trip and come back within moments. */
export const quick: Partial<BreakerSettings> = { consecutive: 3, cooldownMs: 400, rampMs: 400 };

export interface Scene {
  readonly url: string;
  readonly pool: pg.Pool;
  /** Opens one more worker; `url` if it reaches the database another way. */
  worker(
    name: string,
    declared: Upstreams,
    more?: { url?: string; secrets?: Record<string, string>; onTransition?: (key: string, state: string) => void },
  ): Promise<OpenUpstreams>;
  /** Closes the workers of this test; a file full of them would use up the connections of the server. */
  closeWorkers(): Promise<void>;
  close(): Promise<void>;
}

export async function openScene(): Promise<Scene> {
  const database = await migratedDatabase();
  const pool = openPool({ url: database.url, applicationName: 'test' }, 4);
  const ends: (() => Promise<unknown>)[] = [];
  const closeWorkers = async (): Promise<void> => void (await Promise.allSettled(ends.splice(0).map((end) => end())));
  return {
    url: database.url,
    pool,
    async worker(name, declared, more = {}) {
      const url = more.url ?? database.url;
      const control = openPool({ url, applicationName: 'test-control' }, 4);
      const secrets = more.secrets ?? {};
      const open = await openUpstreams(declared, {
        control,
        databaseUrl: url,
        worker: name,
        readSecret: (secret) => secrets[secret],
        ...(more.onTransition ? { onTransition: more.onTransition } : {}),
      });
      ends.push(async () => {
        await open.close();
        await control.end();
      });
      return open;
    },
    closeWorkers,
    async close() {
      await closeWorkers();
      await pool.end();
      await database.drop();
    },
  };
}

/** Work that fails so. */
export const fails = (code: Code, nextDelayMs?: number) => (): Promise<never> =>
  Promise.reject(new CodedError(code, undefined, nextDelayMs === undefined ? {} : { nextDelayMs }));

/** The code of what it threw, or `ok`. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    return error instanceof CodedError ? error.failure.code : String(error);
  }
}

/** Polls until it holds; fails after that time. */
export async function until(holds: () => boolean | Promise<boolean>, timeMs = 10_000): Promise<void> {
  const end = performance.now() + timeMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Not within ${timeMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
