// What is promised here: a run whose workflow task fails at every try is told within two minutes, with its cause; others go on, and it can be ended.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { decideStalled } from '../../src/commands/support/stalled.ts';
import type { Session } from '../../src/commands/support/session.ts';
import { listStalled, type Stalled } from '../../src/store/stalled.ts';
import { type Engine, openEngine, throwCode } from '../support/engine.ts';
import { bodyBug, calm, reordered } from './stalled-pipelines.ts';

const TOLD_WITHIN_MS = 120_000;
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => {
    const code = { first: stage('first'), second: stage('second') };
    return [serve(bodyBug, code), serve(calm, code), serve(reordered, code)];
  });
});
afterAll(() => engine?.close());

async function told(run: string): Promise<Stalled> {
  const from = Date.now();
  while (Date.now() - from < TOLD_WITHIN_MS) {
    const [found] = await listStalled(engine.pool, 1, run);
    if (found) return found;
    await sleep(500);
  }
  const { raw } = await engine.client.workflow.getHandle(`${engine.prefix}/${run}`).describe();
  throw new Error(
    `${run} was not told within two minutes: ${JSON.stringify(raw.pendingWorkflowTask)} ${raw.workflowExecutionInfo?.status}`,
  );
}

describe('a run that Temporal cannot move on', () => {
  it('is told with its cause, beside others that end; it takes only abort, and ends by it', async () => {
    engine.script('first', () => ({ value: 'secret of a record' }));
    const old = await engine.startWorker('./test/chaos/stalled-pipelines.ts');
    await engine.start('body-bug');
    // Its second stage waits for a time beyond its budget, and meanwhile other code is deployed.
    engine.script('second', (call) => (call === 1 ? throwCode('http_503_retry_after', 25_000) : 'fine'));
    await engine.start('reordered');
    expect(await engine.parked('second')).toMatchObject({ until: 'time' });
    await old.stop();
    await engine.startWorker('./test/chaos/stalled-pipelines-v2.ts');

    const [bug, other] = await Promise.all([told('body-bug/2026-11-21'), told('reordered/2026-11-21')]);
    expect(bug).toMatchObject({
      cause: 'code_bug',
      text: expect.stringMatching(/TypeError at .*stalled-pipelines/) as string,
    });
    expect(other).toMatchObject({ cause: 'other_code' });
    for (const one of [bug, other]) {
      expect(one.mend).toContain(`mendflow abort ${one.run} --reason`);
      expect(one.text + one.mend).not.toContain('secret');
    }
    expect(await engine.result(await engine.start('calm'))).toMatchObject({ state: 'done' });

    const session = {
      terminal: { line: () => undefined, style: (_: string, text: string) => text },
    } as unknown as Session;
    const connected = { client: engine.client, control: engine.pool };
    const by = { reason: 'a test', actor: 'ann', stalled: bug };
    await expect(decideStalled(session, connected, { ...by, kind: 'retry' })).rejects.toThrow(
      /takes no decision but abort/,
    );
    expect(await decideStalled(session, connected, { ...by, kind: 'abort' })).toBe('ok');
    expect(await engine.rows(`select state from mendflow.run where key = 'body-bug/2026-11-21'`)).toEqual([
      { state: 'aborted' },
    ]);
    expect(await listStalled(engine.pool, 9, bug.run)).toEqual([]);
  }, 240_000);
});
