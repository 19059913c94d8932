// What lives here: log-ingest as a user of the command line has it: an engine with its stages, a folder for files, and commands.
// Invariant: one database, one folder and one prefix for each that is opened; close() leaves none of them.
// Apart because every test about what log-ingest tells begins with it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logIngestActivities } from '../../src/activities/log-ingest.ts';
import { serve } from '../../src/engine/worker.ts';
import type { Sealer } from '../../src/store/seal.ts';
import { logIngest } from '../../src/workflows/log-ingest.ts';
import { sealer } from '../flow/memory.ts';
import { commandLineOf } from './client.ts';
import { type Engine, openEngine } from './engine.ts';

export interface LogIngestClient extends ReturnType<typeof commandLineOf> {
  readonly engine: Engine;
  readonly folder: string;
}

export async function openLogIngest(name: string, seal: Sealer = sealer): Promise<LogIngestClient> {
  const folder = mkdtempSync(join(tmpdir(), `mendflow-${name}-`));
  const engine = await openEngine(() => [serve(logIngest, logIngestActivities({ pool: engine.pool, seal }))]);
  const client = commandLineOf(engine, join(import.meta.dirname, '..', '..'));
  await engine.startWorker('./src/workflows/index.ts');
  return {
    ...client,
    engine,
    folder,
    close: async () => {
      await client.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
