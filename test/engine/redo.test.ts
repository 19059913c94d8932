// What is promised here: a stage whose output is lost is done again for the stage that needs it, and nothing else is.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { CodedError } from '../../src/model/failure.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { line } from './pipelines.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => [
    serve(line, { first: stage('first'), second: stage('second'), third: stage('third') }),
  ]);
  await engine.startWorker();
});
afterAll(() => engine?.close());
beforeEach(() => engine.calls.splice(0));

const gone = (redo: string): never => {
  throw new CodedError('dataset_gone', `What ${redo} kept is gone.`, { redo });
};

it('does the stage again whose records are gone, and asks nobody', async () => {
  engine.script('first', (call) => `made ${call}`);
  engine.script('second', (_call, input) => `read ${String(input)}`);
  engine.script('third', (call, input) => (call === 1 ? gone('second') : `${String(input)}, reported`));
  const handle = await engine.start('line', { dataDate: '2026-05-01' });
  expect(await engine.result(handle)).toMatchObject({
    state: 'done',
    decisions: 0,
    result: 'read made 1, reported',
  });
  expect(engine.calls).toEqual(['first', 'second', 'third', 'second', 'third']);
});

it('asks where they are gone a third time, and where nobody is known to have made them', async () => {
  engine.script('first', (call) => `made ${call}`);
  engine.script('second', () => gone('first'));
  engine.script('third', (_call, input) => input);
  const handle = await engine.start('line', { dataDate: '2026-05-02' });
  const { token } = await engine.parked('second', 'line/2026-05-02');
  expect(engine.calls).toEqual(['first', 'second', 'first', 'second', 'first', 'second']);
  let found = false;
  engine.script('second', () => (found ? 'at last' : gone('somebody')));
  await engine.decide(handle, { kind: 'retry', token, actor: 'ann', reason: 'test' });
  let again = token;
  for (let tries = 0; tries < 200 && again === token; tries++) {
    await sleep(50);
    again = (await engine.parked('second', 'line/2026-05-02')).token;
  }
  found = true;
  await engine.decide(handle, { kind: 'retry', token: again, actor: 'ann', reason: 'test' });
  expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'at last' });
});
