// What is promised here: before a deployment, `mendflow check` names the runs under way that the code of the folder would break, and no others.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkHistories } from '../../src/commands/support/replay.ts';
import { serve } from '../../src/engine/worker.ts';
import { queues } from '../../src/model/ids.ts';
import { line } from '../engine/pipelines.ts';
import { type Engine, openEngine, throwCode } from '../support/engine.ts';
import reordered from './reordered.ts';
import { bundleOnce } from '../support/bundle.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => [
    serve(line, { first: stage('first'), second: stage('second'), third: stage('third') }),
  ]);
  await engine.startWorker();
  // A run that asks begins anew with the code of the day; one that waits for a time has its history as long as that is short.
  engine.script('second', () => throwCode('http_503_retry_after', 3_600_000));
  await engine.start('line', { dataDate: '2026-01-01' });
  await engine.parked('second');
});
afterAll(() => engine?.close());

const check = async (file: string, pipelines: readonly string[], runsMax = 10) => {
  const { code } = await bundleOnce(new URL(file, import.meta.url));
  const { client, prefix } = engine;
  return await checkHistories({
    client,
    taskQueue: queues(prefix).work,
    code,
    pipelines,
    runsMax,
    dataConverter: undefined,
  });
};

describe('runs under way', () => {
  it('are seen, and go on with the code they began with', async () => {
    // The server lists a run a moment after it was started.
    await expect
      .poll(async () => (await check('../engine/pipelines.ts', ['line'])).says, { timeout: 15_000, interval: 200 })
      .toBe('1 run under way, replayed with the code of this folder.');
    expect(await check('../engine/pipelines.ts', ['line'])).toMatchObject({ state: 'ok', faults: [] });
  });

  it('that a changed order of stages would break are named, with what to do', async () => {
    const found = await check(
      './reordered.ts',
      reordered.specs.map(({ name }) => name),
    );
    expect(found.state).toBe('fault');
    expect(found.faults).toHaveLength(1);
    expect(found.faults[0]).toMatch(
      /^Run \S*line\/2026-01-01 cannot go on with this code: .*'line\/first'.*'line\/third'.* Deploy after it has ended/,
    );
  });

  it('of a pipeline that the folder does not have are named too', async () => {
    const found = await check('./reordered.ts', ['other']);
    expect(found.faults).toEqual([
      expect.stringContaining('is of the pipeline "line", which this folder does not have'),
    ]);
  });

  it('are counted where there are more than are looked at', async () => {
    expect((await check('../engine/pipelines.ts', ['line'], 0)).says).toContain(
      'There are more; only 0 were looked at',
    );
  });
});
