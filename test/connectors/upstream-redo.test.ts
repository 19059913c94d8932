// What is promised here: a failure of our own comes through a call as it was thrown, with all it says about what has to be done again.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gone } from '../../src/flow/dataset-ref.ts';
import { CodedError } from '../../src/model/failure.ts';
import { openScene, quick, type Scene } from '../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(async () => {
  await scene.closeWorkers();
  await scene.close();
});

const key = 'db:redo';

it('says which stage has to be done again, and blames no upstream for it', async () => {
  const one = await scene.worker('one', { [key]: { address: 'postgres://localhost:1/x', breaker: quick } });
  const lost = gone({ dataset: '7', stage: 'extract' }, 'is gone');
  const end = await one
    .at(key)
    .call(() => Promise.reject(lost))
    .catch((error: unknown) => error);
  expect(end).toBe(lost);
  expect((end as CodedError).failure).toMatchObject({ code: 'dataset_gone', redo: 'extract' });
  expect((end as CodedError).failure.upstream).toBeUndefined();
});
