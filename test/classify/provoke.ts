// What lives here: what it takes to make a real driver fail, and the list of all failures that are made.
// Invariant: every failure is raised by the driver itself, on this machine; nothing here writes an error by hand.
// Apart because recording the golden file and checking it against today's drivers are the same list.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Code } from '../../src/model/failure.ts';
import { freshDatabase } from '../support/database.ts';
import { answerFailures } from './provoke-answers.ts';
import { clientFailures } from './provoke-clients.ts';
import { fileFailures } from './provoke-files.ts';
import { nameFailures } from './provoke-names.ts';
import { postgresFailures } from './provoke-postgres.ts';
import { connectionFailures } from './provoke-postgres-connections.ts';

export interface Scene {
  readonly folder: string;
  /** Address of an empty database, as its owner. */
  readonly url: string;
  /** Ends what a failure left behind. */
  readonly defer: (end: () => unknown) => void;
}

export interface Provocation {
  readonly what: string;
  readonly code: Code;
  /** Where it may as well be another, by the network that the machine is in. */
  readonly or?: Code;
  /** Needs a device or a rule that only this kernel has. */
  readonly only?: 'linux';
  /** Has to throw or reject. */
  readonly raise: (scene: Scene) => unknown;
}

export const failures: readonly Provocation[] = [
  ...clientFailures,
  ...answerFailures,
  ...nameFailures,
  ...fileFailures,
  ...postgresFailures,
  ...connectionFailures,
];

export async function openScene(): Promise<Scene & { close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'mendflow-classify-'));
  const { url, drop } = await freshDatabase();
  const ends: (() => unknown)[] = [];
  return {
    folder,
    url,
    defer: (end) => void ends.push(end),
    async close() {
      await Promise.allSettled(ends.map(async (end) => await end()));
      await drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const HANGS_MS = 15_000;

/** What it threw; a provocation that provokes nothing, or never ends, is a mistake in the test. */
export async function thrownBy({ what, raise }: Provocation, scene: Scene): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<'hung'>((resolve) => (timer = setTimeout(() => resolve('hung'), HANGS_MS)));
  try {
    const ended = await Promise.race([(async () => await raise(scene))(), hung]);
    if (ended === 'hung') return new Error(`It hung: ${what}.`);
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
  }
  return new Error(`Nothing failed: ${what}.`);
}
