// What is promised here: a day is started, waited for and looked at from the command line, and doing it twice changes nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { runCommandLine } from '../../src/commands/support/program.ts';
import { type DailyEngine, openDailyEngine } from './engine-scene.ts';
import { metricsOf } from './scene.ts';

let at: DailyEngine;
let dir: string;
let restore: () => void;
beforeAll(async () => {
  at = await openDailyEngine();
  dir = mkdtempSync(join(tmpdir(), 'mendflow-daily-command-'));
  const env = {
    DATABASE_URL: String(at.engine.pool.options.connectionString),
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    MENDFLOW_PREFIX: at.engine.prefix,
    MENDFLOW_DIR: dir,
  };
  const before = { ...process.env };
  Object.assign(process.env, env);
  restore = () => {
    for (const name of Object.keys(env))
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
  };
}, 120_000);
afterAll(async () => {
  restore?.();
  await at?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function mendflow(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(argv, {
    cwd: dir,
    out: { write: (text) => void (out += text) },
    err: { write: (text) => void (err += text) },
    signal: new AbortController().signal,
  });
  return { code, out, err };
}

describe('mendflow start daily-report', () => {
  it('--date 2018-02-03 --wait ends with 0 and the balance of the day', async () => {
    const ran = await mendflow('start', 'daily-report', '--date', '2018-02-03', '--wait', '--json');
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(ran.out)).toMatchObject({
      run: 'daily-report/2018-02-03',
      state: 'done',
      read: 259,
      loaded: 259,
      quarantined: 0,
    });
    const figures = await at.engine.rows<{ id: string; value: number }>(
      'select metric_id as id, value from daily_metrics',
    );
    expect(Object.fromEntries(figures.map(({ id, value }) => [id, value]))).toEqual(metricsOf('2018-02-03'));
  });

  it('again says that the day is done, and show has all five stages', async () => {
    const again = await mendflow('start', 'daily-report', '--date', '2018-02-03', '--wait', '--json');
    expect(again.code).toBe(0);
    expect(JSON.parse(again.out)).toMatchObject({ state: 'already-done', read: 259 });
    const shown = await mendflow('show', 'daily-report/2018-02-03');
    for (const stage of ['extract', 'validate', 'transform', 'load', 'report']) expect(shown.out).toContain(stage);
  });
});
