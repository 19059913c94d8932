// What is promised here: a worker that cannot work says why and ends, instead of staying as a process that polls nothing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import { freshDatabase } from '../support/database.ts';

const repository = join(import.meta.dirname, '..', '..');

it('a worker whose stage calls an upstream that is not declared names it and exits with 1', async () => {
  const database = await freshDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-end-'));
  const worker = spawn(process.execPath, [join(repository, 'dist', 'worker.js')], {
    cwd: join(import.meta.dirname, 'undeclared-project'),
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      MENDFLOW_DIR: dir,
      DATABASE_URL: database.url,
      TEMPORAL_ADDRESS: inject('temporalAddress'),
      MENDFLOW_PREFIX: 'end',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    let said = '';
    worker.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const [code] = (await once(worker, 'exit', { signal: AbortSignal.timeout(40_000) })) as [number | null];
    expect(code).toBe(1);
    expect(said).toContain('http:api');
  } finally {
    worker.kill('SIGKILL');
    await database.drop();
    await rm(dir, { recursive: true, force: true });
  }
});
